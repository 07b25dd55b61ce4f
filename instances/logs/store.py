"""Reading the log of a launch: by offset, from its end, by a word or a level. `writer.py` says how it lies on
disk.

An offset counts bytes from the first one that the engine's log ever had; it never comes to mean another line,
also when parts of the log have been dropped. All functions are plain blocking reads with bounded memory.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from instances.logs.line import Line, gap_of, line_of
from instances.logs.parts import WINDOW, Parts
from instances.logs.search import Wanted

FIRST_WINDOW = 64 * 1024  # bytes looked at first for the end of a log
LOOK_BACK = 64 * 1024  # bytes in which the line is looked for that another one goes on


@dataclass(frozen=True)
class Page:
    """Lines in order, and where to read on: the start of the first line that is not here, or not finished."""

    lines: list[Line]
    next_offset: int  # bytes


def read(
    directory: Path, offset: int = 0, limit: int = 1000, search: str = "", tail: bool = False, level: str = ""
) -> Page:
    """At most `limit` lines from `offset`, or with `tail` the last ones from there, that contain `search`.

    An offset within a line means the next one. Where something was dropped a marker line says how much. A
    last line that is still being written is returned, and `next_offset` stays at its start: read again, it
    comes again. A launch without a log, or without a directory, has no lines. Letter case does not count in
    `search`. `level` is empty, "warning" (errors too) or "error"; the indented lines under a line of that
    level, such as those of a traceback, come with it.
    """
    wanted = Wanted(search, level)
    if tail:
        return _reading(directory, lambda log: _last(log, max(0, offset), log.end, limit, wanted))
    return _reading(directory, lambda log: _from(log, max(0, offset), limit, wanted))


def before(directory: Path, offset: int, limit: int = 1000, search: str = "", level: str = "") -> Page:
    """The last `limit` such lines that stand before this offset."""
    wanted = Wanted(search, level)
    return _reading(directory, lambda log: _last(log, 0, _start(log, offset), limit, wanted))


def around(directory: Path, offset: int, lines: int) -> Page:
    """So many lines about the one at this offset: half of them before it, fewer where the log begins."""

    def found(log: Parts) -> Page:
        begin = _start(log, offset)
        earlier = _last(log, 0, begin, lines // 2, _ALL).lines
        later = _from(log, begin, lines - len(earlier), _ALL)
        return Page([*earlier, *later.lines], later.next_offset)

    return _reading(directory, found)


def first_error(directory: Path, since: int = 0) -> int | None:
    """The offset of the first line at level error, at or after `since`."""

    def found(log: Parts) -> Page:
        lines = (line for line, _ in _walk(log, since, log.end, _ERRORS) if line and line.level == "error")
        return Page([line for line in [next(lines, None)] if line], 0)

    errors = _reading(directory, found).lines
    return errors[0].offset if errors else None


def tail(directory: Path, lines: int) -> list[Line]:
    """The last `lines` lines, one that is not finished included."""
    return read(directory, limit=lines, tail=True).lines


def size(directory: Path) -> int:
    """Bytes that the log has ever had: where the next one will stand. It grows whenever the log changes."""
    with Parts(directory) as log:
        return log.end


def has_ended(directory: Path) -> bool:
    """Whether nothing will be added: an exit is recorded, or the launch is known to be lost."""
    with suppress(FileNotFoundError), open(directory / "exit.json", "rb") as file:
        if file.read(1) == b"{":
            return True
    return (directory / "lost.json").exists()


_ALL = Wanted("", "")
_ERRORS = Wanted("", "error")


def _reading(directory: Path, what: Callable[[Parts], Page]) -> Page:
    while True:
        try:
            with Parts(directory) as log:
                return what(log)
        except FileNotFoundError:
            continue  # a part was dropped while it was read: what is there now has a marker in its place


def _start(log: Parts, offset: int) -> int:
    return log.line_start_near(min(max(0, offset), log.end))


def _from(log: Parts, offset: int, limit: int, wanted: Wanted) -> Page:
    lines: list[Line] = []
    offset = min(offset, log.end)
    if limit > 0:
        for line, after in _walk(log, offset, log.end, wanted):
            offset = after
            if line is not None:
                lines.append(line)
                if len(lines) == limit:
                    break
    return Page(lines, offset)


def _last(log: Parts, offset: int, end: int, limit: int, wanted: Wanted) -> Page:
    """The last ones that begin from `offset` on and before `end`, the log's end or the start of a line."""
    lines: list[Line] = []
    begin = min(offset, end)
    last = next_offset = end
    window = FIRST_WINDOW
    while end > begin and len(lines) < limit:
        start = log.line_start_near(max(begin, end - window))
        if start >= end:  # no line begins in it
            if end - window <= begin:
                break
            window *= 4
            continue
        found = list(_walk(log, start, end, wanted))
        if end == last and found:
            next_offset = found[-1][1]
        lines = [line for line, _ in found if line is not None] + lines
        end = start
        window = min(4 * window, WINDOW)
    return Page(lines[-limit:] if limit > 0 else [], next_offset)


def _walk(log: Parts, offset: int, end: int, wanted: Wanted) -> Iterator[tuple[Line | None, int]]:
    """The wanted lines from there to `end`, markers included, each with where to read on after it.

    None stands for a stretch without one. `end` is the log's end or the start of a line.
    """
    while (run := log.run_at(offset)) is not None and offset < end:
        if offset < run[0]:
            yield gap_of(offset, run[0]), run[0]
        offset = log.line_start(offset, run)
        stop = min(end, run[1])
        while offset < stop:
            data = log.lines_at(offset, stop)
            if not data:
                yield gap_of(offset, stop), stop
            base, offset = offset, offset + len(data) if data else stop
            whole = data.rfind(b"\n") + 1 if offset == log.end else len(data)  # the rest is not finished
            lines = _lines(base, data, 0) if wanted.everything else _picked(log, run, base, data, wanted)
            for line, after in lines:
                yield line, min(after, max(line.offset, base + whole))
            if data and not wanted.everything:
                yield None, base + whole


def _lines(base: int, data: bytes, at: int) -> Iterator[tuple[Line, int]]:
    """The lines of a window that lies at `base`, from `at` in it on, each with the offset of its end."""
    while at < len(data):
        after = (data.find(b"\n", at) + 1) or len(data)
        yield line_of(base + at, data[at:after]), base + after
        at = after


def _picked(
    log: Parts, run: tuple[int, int], base: int, data: bytes, wanted: Wanted
) -> Iterator[tuple[Line, int]]:
    """Those of a window that are wanted."""
    if wanted.level:
        lines = _of_level(log, run, base, data, wanted)
    else:
        lines = (next(_lines(base, data, start)) for start in wanted.starts(data))
    return (found for found in lines if wanted.has_word(found[0]))


def _of_level(
    log: Parts, run: tuple[int, int], base: int, data: bytes, wanted: Wanted
) -> Iterator[tuple[Line, int]]:
    """Those of a window that have the level, each with the lines that go on it."""
    after = base
    if _leader(log, run, base, data).level in wanted.levels:
        for line, after in takewhile(_goes_on, _lines(base, data, 0)):
            yield line, after
    for start in wanted.starts(data):
        if base + start < after:
            continue
        line, after = next(_lines(base, data, start))
        if line.level in wanted.levels:
            yield line, after
            following = _lines(base, data, after - base)
            for line, after in takewhile(_goes_on, following):
                yield line, after


def _goes_on(found: tuple[Line, int]) -> bool:
    return found[0].goes_on


def _leader(log: Parts, run: tuple[int, int], base: int, data: bytes) -> Line:
    """The line that the first ones of a window go on, or the first one if it is a line for itself."""
    first = next(_lines(base, data, 0))[0] if data else Line(base, "", "", "")
    if not first.goes_on:
        return first
    earlier = log.bytes_before(base, run, LOOK_BACK)
    lines = [line for line, _ in _lines(base - len(earlier), earlier, 0) if not line.goes_on]
    return lines[-1] if lines else first
