import random
from collections.abc import Callable
from pathlib import Path

import pytest

from instances.logs import store
from instances.logs.line import Line
from instances.logs.parts import Parts
from instances.logs.writer import DELAY, Writer

MIB = 1024 * 1024


@pytest.fixture
def log(tmp_path: Path) -> Writer:
    return Writer(str(tmp_path), 64 * MIB)


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def page_by_page(directory: Path, limit: int, search: str = "") -> list[Line]:
    lines: list[Line] = []
    offset = 0
    while True:
        page = store.read(directory, offset, limit, search)
        lines += page.lines
        if page.next_offset == offset:
            return lines
        offset = page.next_offset


def overfull(directory: Path, cap: int = MIB, count: int = 60_000) -> None:
    """A log whose middle has been dropped."""
    log = Writer(str(directory), cap)
    for start in range(0, count, 100):
        log.feed(b"".join(b"INFO line %06d\n" % number for number in range(start, start + 100)))
    log.close()


def test_a_launch_without_a_log_has_no_lines(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nothing"):
        page = store.read(directory)
        assert (page.lines, page.next_offset, store.size(directory)) == ([], 0, 0)
        assert store.tail(directory, 5) == []


def test_offsets_lead_from_page_to_page_without_loss_or_doubling(log: Writer, tmp_path: Path) -> None:
    log.feed(b"".join(b"line %d\n" % number for number in range(1000)))
    for limit in (1, 7, 1000):
        assert texts(page_by_page(tmp_path, limit)) == [f"line {number}" for number in range(1000)]
    assert store.read(tmp_path, limit=0).next_offset == 0


def test_each_line_can_be_read_again_by_its_offset(log: Writer, tmp_path: Path) -> None:
    log.feed(b"".join(b"line %d\n" % number for number in range(50)))
    for line in store.read(tmp_path).lines:
        assert store.read(tmp_path, line.offset, 1).lines == [line]


def test_an_offset_within_a_line_means_the_next_one(log: Writer, tmp_path: Path) -> None:
    log.feed(b"one\ntwo\n20%\r30%\rthree\n")
    one, two, three = store.read(tmp_path).lines
    for offset in range(one.offset + 1, two.offset + 1):
        assert store.read(tmp_path, offset).lines[0] == two
    for offset in range(three.offset + 1, store.size(tmp_path) + 1):
        assert store.read(tmp_path, offset).lines == []
    assert store.read(tmp_path, 10**9).next_offset == store.size(tmp_path)


def test_a_line_knows_when_it_was_written_and_how_bad_it_is(tmp_path: Path) -> None:
    Writer(str(tmp_path), MIB, wall=lambda: 1795579200.25).feed(b"INFO:     Started\n")
    (line,) = store.read(tmp_path).lines
    assert line == Line(0, "2026-11-25T04:00:00.250Z", "info", "INFO:     Started")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("(APIServer pid=21132) INFO 11-25 03:54:48 [api_utils.py:286] non-default args", "info"),
        ("(EngineCore_DP0 pid=441) ERROR 11-24 11:43:54 [core.py:1] boom", "error"),
        ("WARNING 06-02 11:03:56 [config.py:1339] Default sampling", "warning"),
        ("DEBUG 06-02 11:03:56 [config.py:1339] detail", "debug"),
        ("ERROR:    [Errno 98] Address already in use", "error"),
        ("W1125 04:29:03.139000 27449 torch/_library/triton.py:53] Triton not available", "warning"),
        ("(EngineCore_DP0 pid=1) 2025-11-21 10:26:22,420 - INFO - autotuner.py:256 - flashinfer", "info"),
        ("Traceback (most recent call last):", "error"),
        ("(EngineCore pid=7) Traceback (most recent call last):", "error"),
        ("OSError: [Errno 98] Address already in use", "error"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "error"),
        ("KeyboardInterrupt", ""),
        ("vllm serve: error: argument --dtype: invalid choice: 'float13'", "error"),
        ("/opt/lib/thing.py:12: FutureWarning: soon", "warning"),
        ('  File "/opt/engine/bin/vllm", line 8, in <module>', ""),
        ("INFORMATION is no level", ""),
        ("Loading safetensors checkpoint shards: 100% Completed | 1/1", ""),
    ],
)
def test_levels_are_read_from_the_words_that_engines_use(
    log: Writer, tmp_path: Path, text: str, level: str
) -> None:
    log.feed(text.encode() + b"\n")
    assert store.read(tmp_path).lines[0].level == level


def test_an_unfinished_line_comes_again_until_it_is_finished(tmp_path: Path) -> None:
    now = [0.0]
    log = Writer(str(tmp_path), MIB, clock=lambda: now[0])

    def pause() -> None:
        now[0] += DELAY
        log.flush()

    log.feed(b"one\nLoad")
    pause()
    first = store.read(tmp_path)
    assert texts(first.lines) == ["one", "Load"]
    assert first.next_offset == first.lines[1].offset
    log.feed(b"ing\r50%\r")
    pause()
    second = store.read(tmp_path, first.next_offset)
    assert texts(second.lines) == ["50%"]
    assert second.lines[0].offset == second.next_offset == first.next_offset
    log.feed(b"\n")
    third = store.read(tmp_path, second.next_offset)
    assert texts(third.lines) == ["50%"]
    assert third.next_offset == store.size(tmp_path)


def test_search_finds_parts_of_words_in_either_case_and_in_cleaned_text(log: Writer, tmp_path: Path) -> None:
    log.feed(b"Loading weights\nother\n\x1b[1mload\x1b[0ming more\n")
    log.feed("MÜNCHEN\n".encode())
    assert texts(store.read(tmp_path, search="LOADING").lines) == ["Loading weights", "loading more"]
    assert texts(store.read(tmp_path, search="ünch").lines) == ["MÜNCHEN"]
    assert texts(store.read(tmp_path, search="Loading", tail=True, limit=1).lines) == ["loading more"]


@pytest.mark.parametrize("unusual", [b"", "é".encode()])
def test_a_search_goes_over_long_stretches_without_a_match(
    log: Writer, tmp_path: Path, unusual: bytes
) -> None:
    log.feed(b"needle 1\n")
    for _ in range(200):
        log.feed((b"hay" + unusual + b" " * 1000 + b"\n") * 30)
    log.feed(b"needle 2\nhay\n")
    assert texts(page_by_page(tmp_path, 1, "needle")) == ["needle 1", "needle 2"]
    page = store.read(tmp_path, limit=1, search="needle", offset=store.read(tmp_path, limit=1).next_offset)
    assert texts(page.lines) == ["needle 2"]
    assert store.read(tmp_path, search="nothing like it").next_offset == store.size(tmp_path)
    assert texts(store.read(tmp_path, search="needle", tail=True).lines) == ["needle 1", "needle 2"]


def test_the_tail_is_the_last_lines_and_where_to_go_on(log: Writer, tmp_path: Path) -> None:
    for number in range(2000):
        log.feed(b"line %04d %s\n" % (number, b"x" * 200))
    everything = store.read(tmp_path, limit=10_000)
    for count in (0, 1, 40, 1999, 2000, 5000):
        page = store.read(tmp_path, limit=count, tail=True)
        assert page.lines == everything.lines[len(everything.lines) - min(count, 2000) :]
        assert page.next_offset == everything.next_offset
        assert store.tail(tmp_path, count) == page.lines
    middle = everything.lines[1990].offset
    assert store.read(tmp_path, middle, 100, tail=True).lines == everything.lines[1990:]


def test_the_tail_holds_the_unfinished_line_too(tmp_path: Path) -> None:
    now = [0.0]
    log = Writer(str(tmp_path), MIB, clock=lambda: now[0])
    log.feed(b"one\ntwo\nthr")
    now[0] += DELAY
    log.flush()
    page = store.read(tmp_path, limit=2, tail=True)
    assert texts(page.lines) == ["two", "thr"]
    assert page.next_offset == page.lines[-1].offset


def test_what_was_dropped_is_marked_and_offsets_stay(tmp_path: Path) -> None:
    overfull(tmp_path)
    lines = store.read(tmp_path, limit=100_000).lines
    (at,) = [index for index, line in enumerate(lines) if "dropped here" in line.text]
    marker = lines[at]
    assert 0 < at < len(lines) - 1 and marker.level == "warning" and marker.text.startswith("… ")
    numbers = [int(line.text.split()[-1]) for line in lines if line != marker]
    assert numbers[:at] == list(range(at)) and numbers[at:] == list(range(numbers[at], 60_000))
    assert page_by_page(tmp_path, 997) == lines
    inside = marker.offset + 12_345
    page = store.read(tmp_path, inside, 2)
    assert page.lines[0].offset == inside and "dropped here" in page.lines[0].text
    assert page.lines[1] == lines[at + 1]
    missing = lines[at + 1].offset - marker.offset
    assert marker.text == f"… {missing / MIB:.1f} MiB of log dropped here"
    assert store.tail(tmp_path, 100_000) == lines
    assert store.tail(tmp_path, len(lines) - at) == lines[at:]
    assert texts(store.read(tmp_path, search="line 000001").lines) == ["INFO line 000001", marker.text]


def test_a_reader_goes_on_over_a_rotation(tmp_path: Path) -> None:
    log = Writer(str(tmp_path), MIB)
    seen: list[Line] = []
    offset = 0
    for number in range(9000):  # rotates, but drops nothing yet
        log.feed(b"a line with the number %d\n" % number)
        if number % 100 == 99:
            page = store.read(tmp_path, offset)
            seen += page.lines
            offset = page.next_offset
    assert len(list(tmp_path.iterdir())) > 2
    assert [int(line.text.split()[-1]) for line in seen] == list(range(9000))
    assert store.size(tmp_path) == offset


def test_a_part_that_is_dropped_during_a_read_is_a_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overfull(tmp_path)
    starts = {path: int(path.name[4:].partition("-")[0]) for path in tmp_path.glob("log.*")}
    second = sorted(starts, key=lambda path: starts[path])[1]

    def after(path: Path, what: Callable[..., bytes]) -> Callable[..., bytes]:
        def first(*arguments: object) -> bytes:
            path.unlink(missing_ok=True)
            return what(*arguments)

        return first

    before = store.read(tmp_path, limit=100_000).lines
    monkeypatch.setattr(Parts, "bytes_at", after(second, Parts.bytes_at))
    lines = store.read(tmp_path, limit=100_000).lines
    assert len(lines) < len(before) and lines[-1] == before[-1]
    assert sum("dropped here" in line.text for line in lines) == 1


def test_bytes_that_no_writer_wrote_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(random.Random(7).randbytes(3 * MIB).replace(b"\n", b"") + b"\nend\n")
    assert texts(store.tail(tmp_path, 1)) == ["end"]
    assert store.read(tmp_path, limit=100).lines[-1].text == "end"


def test_it_knows_when_nothing_will_be_added(tmp_path: Path) -> None:
    assert not store.has_ended(tmp_path)
    (tmp_path / "exit.json").write_text(" " * 100)
    assert not store.has_ended(tmp_path)
    (tmp_path / "exit.json").write_text('{"code": 0}')
    assert store.has_ended(tmp_path)
