"""Reading the log of a launch: by offset, from its end, by a word in it. `writer.py` says how it lies on
disk.

An offset counts bytes from the first one that the engine's log ever had; it never comes to mean another line,
also when parts of the log have been dropped. All functions are plain blocking reads with bounded memory.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from instances.logs.clean import clean
from instances.logs.writer import STAMP

WINDOW = 1024 * 1024  # bytes read at a time; no line with all its rewrites is as long
FIRST_WINDOW = 64 * 1024  # bytes looked at first for the end of a log

_PART = re.compile(r"log\.(\d+)-(\d+)")
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
_LEVEL = re.compile(
    r"(?:\([^()]*\) )?(?:"
    r"(?P<word>DEBUG|INFO|WARNING|ERROR|CRITICAL)(?=[: ])"  # vLLM, uvicorn
    r"|[\d-]{10}[ T][\d:.,]+ - (?:\S+ - )?(?P<late>DEBUG|INFO|WARNING|ERROR|CRITICAL) - "  # libraries
    r"|(?P<letter>[IWEF])\d{4} \d\d:"  # torch
    r"|(?P<error>Traceback \(most recent call last\):|[\w.]+(?:Error|Exception)(?:\([^()]*\))?(?::|$)"
    r"|[\w ./-]+: error: |… the engine )"  # Python, argparse, our own
    r"|(?P<warning>… the disk |\S+:\d+: \w*Warning: )"
    r")"
)
_LEVELS = {
    **{"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"},
    **{"I": "info", "W": "warning", "E": "error", "F": "error"},
}


@dataclass(frozen=True)
class Line:
    """One line as a page shows it. The same offset is the same line, in a later state perhaps."""

    offset: int  # bytes
    time: str  # when it was written, ISO 8601 UTC; empty for a marker
    level: str  # debug, info, warning, error, or empty if it says none
    text: str  # cleaned: see clean.py


@dataclass(frozen=True)
class Page:
    """Lines in order, and where to read on: the start of the first line that is not here, or not finished."""

    lines: list[Line]
    next_offset: int  # bytes


def read(directory: Path, offset: int = 0, limit: int = 1000, search: str = "", tail: bool = False) -> Page:
    """At most `limit` lines from `offset`, or with `tail` the last ones from there, that contain `search`.

    An offset within a line means the next one. Where something was dropped a marker line says how much. A
    last line that is still being written is returned, and `next_offset` stays at its start: read again, it
    comes again. A launch without a log, or without a directory, has no lines. Letter case does not count in
    `search`.
    """
    while True:
        try:
            with _Log(directory) as log:
                if tail:
                    return _last(log, max(0, offset), limit, search.lower())
                return _from(log, max(0, offset), limit, search.lower())
        except FileNotFoundError:
            continue  # a part was dropped while it was read: what is there now has a marker in its place


def tail(directory: Path, lines: int) -> list[Line]:
    """The last `lines` lines, one that is not finished included."""
    return read(directory, limit=lines, tail=True).lines


def size(directory: Path) -> int:
    """Bytes that the log has ever had: where the next one will stand. It grows whenever the log changes."""
    with _Log(directory) as log:
        return log.end


def has_ended(directory: Path) -> bool:
    """Whether nothing will be added: an exit is recorded, or the launch is known to be lost."""
    with suppress(FileNotFoundError), open(directory / "exit.json", "rb") as file:
        if file.read(1) == b"{":
            return True
    return (directory / "lost.json").exists()


class _Log:
    """The parts of a log as they were at one moment, the newest held open: it may rotate meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._current = -1

    def __enter__(self) -> "_Log":
        while True:
            parts = self._older()
            with suppress(FileNotFoundError):
                self._current = os.open(self.directory / "log", os.O_RDONLY | os.O_CLOEXEC)
            if parts == self._older():  # else it rotated in between, and the file opened may be any of them
                break
            self.close()
        start = parts[-1][1] if parts else 0
        self.end = start + (os.fstat(self._current).st_size if self._current >= 0 else 0)
        self.parts = [*parts, (start, self.end)]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._current >= 0:
            os.close(self._current)
            self._current = -1

    def _older(self) -> list[tuple[int, int]]:
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        found = (_PART.fullmatch(name) for name in names)
        return sorted((int(match[1]), int(match[2])) for match in found if match)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from there, of one part; nothing in a gap or at the end.

        Raises FileNotFoundError if the part has been dropped.
        """
        for start, end in self.parts:
            if start <= offset < end:
                count = min(count, end - offset)
                if (start, end) == self.parts[-1]:
                    return os.pread(self._current, count, offset - start)
                with open(self.directory / f"log.{start}-{end}", "rb", buffering=0) as file:
                    file.seek(offset - start)
                    return file.read(count)
        return b""

    def run_at(self, offset: int) -> tuple[int, int] | None:
        """The unbroken stretch of kept bytes that holds this offset or comes next after it."""
        runs: list[tuple[int, int]] = []
        for start, end in self.parts:
            if runs and runs[-1][1] == start:
                runs[-1] = runs[-1][0], end
            else:
                runs.append((start, end))
        return next((run for run in runs if offset < run[1]), None)

    def line_start(self, offset: int, run: tuple[int, int]) -> int:
        """The first start of a line at or after this offset; the run's end if there is none."""
        if offset <= run[0]:
            return run[0]
        at = offset - 1
        while data := self.bytes_at(at, WINDOW):
            found = data.find(b"\n")
            if found >= 0:
                return at + found + 1
            at += len(data)
        return run[1]

    def line_start_near(self, offset: int) -> int:
        """Like `line_start`; but an offset in a gap means the start of the gap."""
        run = self.run_at(offset)
        if run is None:
            return self.end
        if offset >= run[0]:
            return self.line_start(offset, run)
        return max(end for _, end in self.parts if end <= offset)

    def lines_at(self, offset: int, stop: int) -> bytes:
        """Whole lines from there, about WINDOW bytes, or all up to `stop`; nothing if a file is cut short."""
        data = b""
        while more := self.bytes_at(offset + len(data), min(WINDOW, stop - offset) - len(data)):
            data += more
        if offset + len(data) == stop:
            return data
        return data[: data.rfind(b"\n") + 1] or data


def _from(log: _Log, offset: int, limit: int, search: str) -> Page:
    lines: list[Line] = []
    offset = min(offset, log.end)
    if limit > 0:
        for line, after in _walk(log, offset, log.end, search):
            offset = after
            if line is not None:
                lines.append(line)
                if len(lines) == limit:
                    break
    return Page(lines, offset)


def _last(log: _Log, offset: int, limit: int, search: str) -> Page:
    lines: list[Line] = []
    begin = min(offset, log.end)
    end = next_offset = log.end
    window = FIRST_WINDOW
    while end > begin and len(lines) < limit:
        start = log.line_start_near(max(begin, end - window))
        if start >= end:  # no line begins in it
            if end - window <= begin:
                break
            window *= 4
            continue
        found = list(_walk(log, start, end, search))
        if end == log.end and found:
            next_offset = found[-1][1]
        lines = [line for line, _ in found if line is not None] + lines
        end = start
        window = min(4 * window, WINDOW)
    return Page(lines[-limit:] if limit > 0 else [], next_offset)


def _walk(log: _Log, offset: int, end: int, search: str) -> Iterator[tuple[Line | None, int]]:
    """The lines from there to `end` that match, markers included, each with where to read on after it.

    None stands for a stretch without a match. `end` is the log's end or the start of a line.
    """
    word = search.encode() if search.isascii() else b""
    while (run := log.run_at(offset)) is not None and offset < end:
        if offset < run[0]:
            yield _gap(offset, run[0]), run[0]
        offset = log.line_start(offset, run)
        stop = min(end, run[1])
        while offset < stop:
            data = log.lines_at(offset, stop)
            if not data:
                yield _gap(offset, stop), stop
            base, offset = offset, offset + len(data) if data else stop
            whole = data.rfind(b"\n") + 1 if offset == log.end else len(data)  # the rest is not finished
            if word and data.isascii() and b"\x1b" not in data and word not in data.lower():
                yield None, base + whole
                continue
            at = 0
            while at < len(data):
                after = (data.find(b"\n", at) + 1) or len(data)
                line = _line(base + at, data[at:after])
                yield line if search in line.text.lower() else None, base + min(after, max(at, whole))
                at = after


def _line(offset: int, raw: bytes) -> Line:
    """A line of the log from its bytes: one record, or a bar with those that rewrite it."""
    time = ""
    texts = []
    for record in raw.removesuffix(b"\n").split(b"\r"):
        if _STAMP.match(record):
            time = record[: STAMP - 1].decode()
            record = record[STAMP:]
        texts.append(record)
    text = clean(b"\r".join(texts))
    return Line(offset, time, _level(text), text)


def _level(text: str) -> str:
    found = _LEVEL.match(text)
    return _LEVELS.get(found[found.lastgroup], found.lastgroup) if found and found.lastgroup else ""


def _gap(start: int, end: int) -> Line:
    return Line(start, "", "warning", f"… {(end - start) / 1024 / 1024:.1f} MiB of log dropped here")
