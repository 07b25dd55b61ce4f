"""The files of one log as one sequence of bytes: `writer.py` says how they lie on disk."""

import os
import re
from contextlib import suppress
from pathlib import Path

WINDOW = 1024 * 1024  # bytes read at a time; no line with all its rewrites is as long

_PART = re.compile(r"log\.(\d+)-(\d+)")


class Parts:
    """The parts of a log as they were at one moment, the newest held open: it may rotate meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._current = -1

    def __enter__(self) -> "Parts":
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

    def bytes_before(self, offset: int, run: tuple[int, int], count: int) -> bytes:
        """At most `count` bytes of this run, up to there."""
        at = max(run[0], offset - count)
        data = b""
        while more := self.bytes_at(at + len(data), offset - at - len(data)):
            data += more
        return data

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
