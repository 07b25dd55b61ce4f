"""What is found does not depend on how it is looked for: by windows, from either end, page by page."""

import random
from pathlib import Path

import pytest

from instances.logs import parts, store
from instances.logs.line import Line
from instances.logs.writer import Writer

MIB = 1024 * 1024
PLAIN = [
    "INFO 11-25 03:54:48 [core.py:1] step %d",
    "INFO:     127.0.0.1:%d - GET /health",
    "",
    "██ 模型 %d 已加载",
]
COLOURED = [
    "\x1b[32mINFO\x1b[0m step \x1b[1m%d\x1b[0m",
    "\x1b]8;;http://x\x07link %d\x1b]8;;\x07",
    "Straße ÜBER %d °",
]
BARS = ["10%%\r20%%\r%d%%", "a\rb %d\r"]
BAD = [
    "ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n"
    '  File "a.py", line %d\n    call()\nValueError: bad',
    "(EngineCore pid=7) ERROR 11-24 11:43:54 [core.py:1] boom %d",
    "\x1b[31mERROR 11-24 11:43:54 [core.py:1] red %d\x1b[0m",
    "2025-11-21 10:26:22,420 - ERROR - flash %d",
    "E1125 04:29:03.139000 27449 torch/x.py:53] late %d",
]
SO_SO = [
    "WARNING 06-02 11:03:56 [config.py:1339] odd %d",
    "/opt/lib/thing.py:12: FutureWarning: soon %d\n  warnings.warn()",
]


def written(directory: Path, kinds: list[str], count: int = 600, seed: int = 7) -> list[Line]:
    """A log of such lines in any order; all its lines."""
    chance = random.Random(seed)
    log = Writer(str(directory), 64 * MIB)
    for number in range(count):
        line = chance.choice(kinds)
        log.feed((line % number if "%d" in line else line).encode() + b"\n")
    log.close()
    return store.read(directory, limit=10 * count).lines


@pytest.fixture(params=[256 * 1024, 4096])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that hold the whole log, and windows of some lines."""
    monkeypatch.setattr(parts, "WINDOW", request.param)
    monkeypatch.setattr(store, "WINDOW", request.param)
    monkeypatch.setattr(store, "FIRST_WINDOW", request.param // 4)


def by_pages(directory: Path, search: str, level: str) -> list[Line]:
    found: list[Line] = []
    offset = 0
    while True:
        page = store.read(directory, offset, 7, search, level=level)
        found += page.lines
        if page.next_offset == offset:
            return found
        offset = page.next_offset


def backwards(directory: Path, search: str, level: str) -> list[Line]:
    found: list[Line] = []
    offset = store.size(directory)
    while page := store.before(directory, offset, 7, search, level).lines:
        found = page + found
        offset = page[0].offset
    return found


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    "word",
    ["step", "STEP 1", "模型", "straße", "über", "°", "2026", "20", "nothing", "link 7", "b 1", "%", "[32m"],
)
@pytest.mark.parametrize("kinds", [PLAIN, PLAIN + COLOURED, PLAIN + COLOURED + BARS])
def test_a_search_finds_all_and_nothing_else(tmp_path: Path, kinds: list[str], word: str) -> None:
    everything = written(tmp_path, kinds)
    expected = [line for line in everything if word.lower() in line.text.lower()]
    assert store.read(tmp_path, limit=100_000, search=word).lines == expected
    assert store.read(tmp_path, limit=100_000, search=word, tail=True).lines == expected
    assert store.read(tmp_path, limit=5, search=word, tail=True).lines == expected[-5:]
    assert by_pages(tmp_path, word, "") == expected
    assert backwards(tmp_path, word, "") == expected


def with_level(lines: list[Line], levels: set[str]) -> list[Line]:
    found: list[Line] = []
    leads = False
    for line in lines:
        leads = leads if line.goes_on else line.level in levels
        found += [line] if leads else []
    return found


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(("level", "levels"), [("error", {"error"}), ("warning", {"error", "warning"})])
def test_a_level_brings_its_lines_and_those_that_go_on_them(
    tmp_path: Path, level: str, levels: set[str]
) -> None:
    everything = written(tmp_path, PLAIN * 3 + COLOURED + BARS + BAD + SO_SO)
    expected = with_level(everything, levels)
    assert any(line.goes_on for line in expected) and {line.level for line in expected} == {"", *levels}
    assert store.read(tmp_path, limit=100_000, level=level).lines == expected
    assert by_pages(tmp_path, "", level) == expected
    assert backwards(tmp_path, "", level) == expected
    with_word = [line for line in expected if "a.py" in line.text]
    assert with_word and by_pages(tmp_path, "A.py", level) == with_word


def test_a_level_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        store.read(tmp_path, level="loud")


@pytest.mark.usefixtures("windows")
def test_the_first_error_is_found_and_later_ones_from_there(tmp_path: Path) -> None:
    everything = written(tmp_path, PLAIN * 200 + BAD + SO_SO)
    errors = [line.offset for line in everything if line.level == "error"]
    assert store.first_error(tmp_path) == errors[0]
    assert store.first_error(tmp_path, errors[0] + 1) == errors[1]
    assert store.first_error(tmp_path, errors[-1] + 1) is None


def test_without_an_error_there_is_no_first_one(tmp_path: Path) -> None:
    assert store.first_error(tmp_path) is None
    written(tmp_path, [*PLAIN, *SO_SO, "no error in this line %d", "Errors: 0"])
    assert store.first_error(tmp_path) is None


@pytest.mark.usefixtures("windows")
def test_the_lines_about_an_offset_are_those_before_and_after_it(tmp_path: Path) -> None:
    everything = written(tmp_path, PLAIN)
    for at in (0, 3, 400, len(everything) - 1):
        first = max(0, at - 10)
        page = store.around(tmp_path, everything[at].offset, 20)
        assert page.lines == everything[first : first + 20]
        behind = [line.offset for line in everything[first + 20 :]]
        assert page.next_offset == (behind or [store.size(tmp_path)])[0]
    within = store.around(tmp_path, everything[400].offset + 1, 20)
    assert within.lines[10] == everything[401]
    assert store.around(tmp_path, 10**12, 4).lines == everything[-2:]
    assert store.around(tmp_path / "nothing", 5, 4).lines == []


def test_what_was_dropped_stands_among_the_lines_found_and_about_it(tmp_path: Path) -> None:
    log = Writer(str(tmp_path), MIB)
    for number in range(0, 60_000, 100):
        log.feed(b"".join(b"INFO line %06d\n" % n for n in range(number, number + 100)))
    log.close()
    everything = store.read(tmp_path, limit=100_000).lines
    (at,) = [n for n, line in enumerate(everything) if "dropped here" in line.text]
    gap = everything[at]
    assert store.around(tmp_path, gap.offset, 4).lines == everything[at - 2 : at + 2]
    assert store.read(tmp_path, level="error").lines == [gap]
    assert store.before(tmp_path, everything[at + 1].offset, 2).lines == everything[at - 1 : at + 1]
    inside = store.around(tmp_path, gap.offset + 5000, 4).lines
    assert "dropped here" in inside[2].text and inside[:2] == everything[at - 2 : at]
