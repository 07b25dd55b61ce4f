"""What an engine says, kept on disk: stamped by line, under a cap, never in the engine's way.

The log of a launch is one sequence of bytes with logical offsets from 0. The newest part is the file `log`;
older ones are named `log.<start>-<end>` by the offsets they hold. What the cap has dropped is a gap between
two names.

A record is `2026-11-25T03:54:48.123Z text` and a terminator: a newline, or a carriage return if the next
record rewrites this one (a progress bar). A last line that nobody has ended yet is written after DELAY
without its terminator and continued in place when more of it comes, so whoever reads must be ready to read it
again from its start. A bar that is rewritten faster than DELAY keeps its newest state only, and one that is
rewritten for very long becomes several lines.

Standard library only and without dataclasses or typing: the shim imports it and must stay small.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

STAMP = 25  # bytes of a stamp with the space after it
PARTS = 8  # the cap is divided into so many; the first and the newest are kept
DELAY = 0.3  # seconds that an unfinished line or a rewrite may wait before it is written
RETRY = 1.0  # seconds between two tries while the disk is full
LONGEST = 64 * 1024  # bytes of text in one record; what is longer is broken
LONGEST_GROUP = 64 * 1024  # bytes of rewrites after which a bar becomes a line of its own
BROKEN, GOES_ON = " …".encode(), "… ".encode()  # stand where a line was broken
_SEEN = re.compile(rb"[!-~]")
UP = b"\x1b[A"  # tqdm ends a lower bar with it; with the newline that follows it means "same line again"


class Writer:
    """Keeps at most `cap` bytes of a log in `directory`, and never raises or waits because of the disk.

    Whatever is missing is marked: a broken line by an ellipsis, a full disk by a line that counts what was
    lost, a dropped middle by the gap between the names of the parts. NUL bytes are left out.
    """

    def __init__(
        self,
        directory: str,
        cap: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = os.path.join(directory, "log")
        self._part_cap = cap // PARTS
        self._clock, self._wall = clock, wall
        self._fd = -1
        self._start = self._size = 0  # logical offset of the part being written, and its bytes
        self._older: list[tuple[int, int]] = []  # parts kept beside it
        self._clean_end = True  # the file ends with a whole record
        self._text = b""  # of the current record, not written yet
        self._length = 0  # bytes of the current record's text, written or not
        self._begun = False  # the current record's stamp is on disk
        self._last = b""  # the last bytes of it that are on disk
        self._held = b""  # the newest rewrite, not written yet
        self._group = 0  # bytes of rewrites since the last newline
        self._cr = False  # the last byte was a carriage return, and a newline may follow
        self._out: list[bytes] = []
        self._since: float | None = None  # since when something waits
        self._lost_bytes = self._lost_lines = 0
        self._retry_at = 0.0

    def feed(self, data: bytes) -> None:
        """Take what the engine wrote, cut anywhere. Fast if one call brings at most LONGEST bytes."""
        stamp = self._stamp()
        if b"\0" in data:
            data = data.replace(b"\0", b"")
        if self._cr:
            data = b"\r" + data
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        if b"\r" in data or (b"\x1b" in data and UP + b"\n" in data) or self._goes_up():
            *lines, rest = data.split(b"\n")
            for line in lines:
                self._rewrites(line, stamp)
                self._end(b"\n", stamp)
            self._rewrites(rest, stamp)
        else:
            first, last = data.find(b"\n"), data.rfind(b"\n")
            if first >= 0:
                self._extend(data[:first], stamp)
                self._end(b"\n", stamp)
            if last > first:
                self._out.append(stamp + data[first + 1 : last].replace(b"\n", b"\n" + stamp) + b"\n")
            self._extend(data[last + 1 :], stamp)
        self._put()
        if not (self._text or self._held or self._cr):
            self._since = None
        elif self._since is None:
            self._since = self._clock()

    def due(self) -> float | None:
        """Seconds until `flush` is to be called; None if nothing waits."""
        times = [] if self._since is None else [self._since + DELAY]
        if self._lost_bytes:
            times.append(self._retry_at)
        return max(0.0, min(times) - self._clock()) if times else None

    def flush(self) -> None:
        """Put on disk what waits: a bar's newest state, the beginning of a line that is not finished."""
        if self._since is not None and self._clock() >= self._since + DELAY:
            stamp = self._stamp()
            if self._cr:
                self._cr = False
                self._end(b"\r", stamp)
            self._release()
            if self._text:
                self._out.append(self._text if self._begun else stamp + self._text)
                self._last = (self._last + self._text)[-len(UP) :]
                self._text, self._begun = b"", True
            self._since = None
        self._put()

    def note(self, text: str) -> None:
        """A line of our own, beginning with an ellipsis."""
        self._finish_line()
        self._out.append(self._stamp() + f"… {text}\n".encode())
        self._put()

    def close(self) -> None:
        """Write all that waits and end the last line."""
        self._finish_line()
        self._retry_at = 0.0
        self._put()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _stamp(self) -> bytes:
        now = self._wall()
        seconds = int(now)
        day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{day}.{int((now - seconds) * 1000):03d}Z ".encode()

    def _finish_line(self) -> None:
        stamp = self._stamp()
        self._cr = False
        if self._text or self._begun:
            self._end(b"\n", stamp)
        elif self._held or self._group:
            self._held = self._held[:-1] + b"\n" if self._held else stamp + b"\n"
            self._release()
            self._group = 0
        self._since = None

    def _rewrites(self, line: bytes, stamp: bytes) -> None:
        """One line with its carriage returns: what the newest rewrite hides is left out."""
        if b"\r" not in line:
            self._extend(line, stamp)
            return
        first, *middle, last = line.split(b"\r")
        self._extend(first, stamp)
        self._end(b"\r", stamp)
        newest = next((at for at in range(len(middle) - 1, 0, -1) if _shows(middle[at])), 0)
        for text in middle[newest:]:
            self._extend(text, stamp)
            self._end(b"\r", stamp)
        self._extend(last, stamp)

    def _extend(self, text: bytes, stamp: bytes) -> None:
        self._text += text
        self._length += len(text)
        while self._length > LONGEST:
            cut = longest = len(self._text) - (self._length - LONGEST)
            while longest - cut < 3 and cut > 0 and self._text[cut] & 0xC0 == 0x80:
                cut -= 1  # not within a character
            rest = GOES_ON + self._text[cut:]
            self._text = self._text[:cut] + BROKEN
            self._end(b"\n", stamp)
            self._text, self._length = rest, len(rest)

    def _end(self, terminator: bytes, stamp: bytes) -> None:
        if terminator == b"\n" and self._goes_up():
            terminator = b"\r"
        if self._group > LONGEST_GROUP:
            terminator = b"\n"
        record = self._text + terminator if self._begun else stamp + self._text + terminator
        if terminator == b"\n":
            self._release()
            self._out.append(record)
            self._group = 0
        elif self._begun:
            self._out.append(record)
            self._group += STAMP + self._length
        elif self._text:
            if not _shows(self._text):
                self._release()  # this one may be empty to the eye, and then the one before it counts
            self._held = record
        self._text, self._length, self._begun, self._last = b"", 0, False, b""

    def _goes_up(self) -> bool:
        return (self._last + self._text[-len(UP) :]).endswith(UP)

    def _release(self) -> None:
        if self._held:
            self._out.append(self._held)
            self._group += len(self._held)
            self._held = b""

    def _put(self) -> None:
        """Write what has gathered, or count it as lost if there is no room."""
        data = b"".join(self._out)
        self._out.clear()
        if self._lost_bytes and self._clock() >= self._retry_at:
            lost = (
                f"… the disk was full: {self._lost_lines} lines ({self._lost_bytes} bytes) are missing here\n"
            )
            marker = (b"" if self._clean_end else b"\n") + self._stamp() + lost.encode()
            if not self._write(marker):
                self._lost_bytes = self._lost_lines = 0
        if not data:
            return
        if self._size and self._size + len(data) > self._part_cap and self._clean_end:
            self._rotate()
        left = len(data) if self._lost_bytes else self._write(data)
        if left:
            self._lost_bytes += left
            self._lost_lines += data.count(b"\n", len(data) - left)
            self._begun, self._last = False, b""

    def _write(self, data: bytes) -> int:
        """Append to the newest part; returns how many bytes found no room."""
        left = memoryview(data)
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                self._size = os.fstat(self._fd).st_size
            while left:
                written = os.write(self._fd, left)
                self._size += written
                self._clean_end = left[written - 1] in b"\r\n"
                left = left[written:]
        except OSError:  # no room, no quota, no folder: the engine must live on all the same
            self._retry_at = self._clock() + RETRY
        return len(left)

    def _rotate(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        end = self._start + self._size
        try:
            os.rename(self._path, f"{self._path}.{self._start}-{end}")
            self._older.append((self._start, end))
            self._start, self._size = end, 0
            if len(self._older) > PARTS - 1:
                start, end = self._older.pop(1)
                os.unlink(f"{self._path}.{start}-{end}")
        except OSError:
            return  # the folder is being taken away or the disk fails: go on with the part that is there


def _shows(text: bytes) -> bool:
    """Whether it certainly shows something: what holds an escape sequence may look empty."""
    return b"\x1b" not in text and b"\xc2" not in text and _SEEN.search(text) is not None
