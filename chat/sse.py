"""Server-sent events, read and written (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import re

LONGEST_EVENT = 16 * 1024 * 1024  # bytes

_LINE_END = re.compile(r"\r\n|\r|\n")


class EventTooLong(Exception):
    """One event is longer than anybody could mean it."""


class EventReader:
    """Turns bytes, cut anywhere, into the data of events. Holds at most one event; work grows with the bytes.

    Names, ids and comments are passed over. Lines may end in LF, CRLF or CR.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of the line that has not ended yet
        self._data: list[bytes] = []  # data lines of the event that has not ended yet
        self._size = 0  # bytes held in both
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[str]:
        """The data of each event that ends in this chunk. Raises EventTooLong."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the CR before it ended the line already
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events = []
        for piece in ended:
            self._line.append(piece)
            line, self._line = b"".join(self._line), []
            if line:
                self._keep(line)
            elif self._data:
                events.append(b"\n".join(self._data).decode(errors="replace"))
                self._data = []
                self._size = 0
        if rest:
            self._line.append(rest)
            self._size += len(rest)
        if self._size > LONGEST_EVENT:
            raise EventTooLong
        return events

    def _keep(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)


def format_event(name: str, data: str) -> bytes:
    """One event. Whatever the data is, it stays data: each of its lines gets its own prefix."""
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(data))
    return f"event: {name}\n{lines}\n".encode()


def format_comment(text: str) -> bytes:
    """What a browser passes over; it makes the headers leave."""
    return f": {text}\n\n".encode()
