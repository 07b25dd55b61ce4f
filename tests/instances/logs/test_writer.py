import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instances.logs import store
from instances.logs.clean import clean
from instances.logs.writer import DELAY, LONGEST, PARTS, RETRY, STAMP, Writer

CAP = 64 * 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Writer:
    return Writer(str(tmp_path), CAP, clock, wall=lambda: 1795579200.5)


def texts(directory: Path) -> list[str]:
    return [line.text for line in store.read(directory, limit=100_000).lines]


def test_each_line_is_stamped_with_its_time_in_utc(log: Writer, tmp_path: Path) -> None:
    log.feed(b"one\ntwo\n\nthree\n")
    stamp = b"2026-11-25T04:00:00.500Z "
    assert (tmp_path / "log").read_bytes() == b"".join(
        stamp + text + b"\n" for text in (b"one", b"two", b"", b"three")
    )
    assert len(stamp) == STAMP


def test_a_line_that_is_not_finished_becomes_visible_and_goes_on(
    log: Writer, tmp_path: Path, clock: Clock
) -> None:
    log.feed(b"Loading")
    assert log.due() == pytest.approx(DELAY)
    assert not (tmp_path / "log").exists()
    clock.now += DELAY
    log.flush()
    assert texts(tmp_path) == ["Loading"]
    assert log.due() is None
    log.feed(b" weights\nnext\n")
    assert texts(tmp_path) == ["Loading weights", "next"]


def test_the_end_of_the_log_ends_its_last_line(log: Writer, tmp_path: Path) -> None:
    log.feed(b"one\n50%\r60%")
    log.close()
    assert texts(tmp_path) == ["one", "60%"]
    assert (tmp_path / "log").read_bytes().endswith(b"60%\n")


@pytest.mark.parametrize("end", [b"50%\r", b"50%", b""])
def test_an_ended_log_has_no_unfinished_line(log: Writer, tmp_path: Path, clock: Clock, end: bytes) -> None:
    log.feed(b"one\n" + end)
    clock.now += DELAY
    log.flush()
    log.close()
    page = store.read(tmp_path)
    assert page.next_offset == store.size(tmp_path)
    assert [line.text for line in page.lines] == ["one", *(["50%"] if end else [])]


def test_a_newline_of_two_bytes_may_come_in_two_reads(log: Writer, tmp_path: Path, clock: Clock) -> None:
    log.feed(b"banner\r")
    log.feed(b"\nnext\r\n")
    assert (tmp_path / "log").read_bytes().count(b"\r") == 0
    assert texts(tmp_path) == ["banner", "next"]
    log.feed(b"slow\r")
    clock.now += DELAY
    log.flush()
    log.feed(b"\nlast\n")
    assert texts(tmp_path) == ["banner", "next", "slow", "last"]


def test_of_a_fast_progress_bar_only_the_newest_state_is_written(
    log: Writer, tmp_path: Path, clock: Clock
) -> None:
    for percent in range(1, 101):
        log.feed(b"\rLoading: %d%%" % percent)
        clock.now += 0.01
        due = log.due()
        if due is not None and due <= 0:
            log.flush()
            assert texts(tmp_path)[-1].startswith("Loading: ")
    log.feed(b"\nready\n")
    assert texts(tmp_path) == ["Loading: 100%", "ready"]
    assert (tmp_path / "log").read_bytes().count(b"\r") < 12


@pytest.mark.parametrize("length", [1, 2, 3, 12, 13, 1000])
def test_nested_bars_are_lines_that_are_rewritten(
    log: Writer, tmp_path: Path, clock: Clock, length: int
) -> None:
    said = b"outer" + b"".join(b"\n\rinner %d\x1b[A" % inner for inner in range(5)) + b"\n\ndone\n"
    for at in range(0, len(said), length):
        log.feed(said[at : at + length])
        if length == 13:  # with a pause between the bar and the newline that goes down again
            clock.now += DELAY
            log.flush()
    assert texts(tmp_path) == ["outer", "inner 4", "done"]


def test_a_bar_that_is_rewritten_for_very_long_becomes_several_lines(
    log: Writer, tmp_path: Path, clock: Clock
) -> None:
    for turn in range(3000):
        log.feed(b"step %d of many, and some more text\r" % turn)
        clock.now += DELAY
        log.flush()
    assert 1 < len(texts(tmp_path)) < 10


def test_a_long_line_is_broken_between_characters_and_marked(log: Writer, tmp_path: Path) -> None:
    log.feed(("a" + "界" * LONGEST + "\nnext\n").encode())
    records = [record[STAMP:].decode() for record in (tmp_path / "log").read_bytes().split(b"\n")[:-1]]
    assert len(records) > 3 and records[-1] == "next"
    assert all(record.endswith(" …") for record in records[:-2])
    assert all(record.startswith("… ") for record in records[1:-1])
    assert "".join(records[:-1]).count("界") == LONGEST


def test_nul_bytes_are_left_out(log: Writer, tmp_path: Path) -> None:
    log.feed(b"a\0b\0\n\0")
    assert texts(tmp_path) == ["ab"]


def test_the_first_and_the_newest_parts_are_kept_under_the_cap(tmp_path: Path) -> None:
    cap = 1024 * 1024
    log = Writer(str(tmp_path), cap)
    log.feed(b"the very first line\n")
    for number in range(100_000):
        log.feed(b"line %d\n" % number)
        if number % 10_000 == 0:
            assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= cap
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == PARTS and names[0] == "log" and names[1].startswith("log.0-")
    lines = store.read(tmp_path, limit=100_000).lines
    assert lines[0].text == "the very first line" and lines[-1].text == "line 99999"
    markers = [line.text for line in lines if "dropped here" in line.text]
    assert len(markers) == 1


def test_a_full_disk_costs_lines_but_never_the_engine(
    log: Writer, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # row 17: engine lives, one clear warning
    log.feed(b"before\n")
    monkeypatch.setattr(os, "write", room_for(10))
    log.feed(b"cut in the middle\nlost\n")
    for _ in range(50):
        log.feed(b"lost too\n")
    monkeypatch.undo()
    log.feed(b"still lost: no try before its time\n")
    clock.now += RETRY
    due = log.due()
    assert due is not None and due <= 0
    log.flush()
    log.feed(b"after\n")
    lines = store.read(tmp_path).lines
    assert lines[0].text == "before" and lines[-1].text == "after"
    (warning,) = [line for line in lines if line.level == "warning"]
    assert "disk was full: 53 lines" in warning.text
    assert len(lines) == 4


def room_for(count: int) -> Callable[[int, bytes], int]:
    """An os.write with so many bytes left on the disk."""
    left = [count]
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: left[0]])
        left[0] -= written
        return written

    return write


def test_a_folder_that_is_gone_does_not_stop_it(tmp_path: Path) -> None:
    log = Writer(str(tmp_path / "gone"), CAP)
    log.feed(b"line\n")
    log.close()


PIECES = [b"a", b"7", b" ", b"\r", b"\n", b"\r\n", b"\x1b[31m", b"\x1b[K", b"\x1b]8;;x\x07", b"\0", b"\xff"]
PIECES += ["█".encode(), "\u202e".encode(), "é".encode(), b"text of a line"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.lists(st.tuples(st.integers(1, 9), st.booleans())))
@example([b"a", b"\r", b"7", b"\n"], [(1, False)] * 4)
@example([b"a", b"\r", b"\x1b[K", b"\r", b"\n"], [(1, True)] * 8)
def test_what_is_read_does_not_depend_on_how_the_output_was_cut(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], cuts: list[tuple[int, bool]]
) -> None:
    said = b"".join(pieces)
    directory = tmp_path_factory.mktemp("log")
    clock = Clock()
    log = Writer(str(directory), CAP, clock)
    at = 0
    for length, pause in cuts:
        log.feed(said[at : at + length])
        at += length
        if pause:
            clock.now += DELAY
            log.flush()
    log.feed(said[at:])
    log.close()
    *lines, rest = said.replace(b"\0", b"").replace(b"\r\n", b"\n").split(b"\n")
    expected = [clean(line) for line in [*lines, *([rest] if rest.strip(b"\r") else [])]]
    assert [text.rstrip() for text in texts(directory)] == [text.rstrip() for text in expected]
