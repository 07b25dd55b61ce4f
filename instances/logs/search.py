"""Which lines are wanted, and where in a window of the log they may be.

Cleaning a line costs some microseconds and a log has a million of them, so the bytes are looked at first: only
lines that may match are cleaned and then judged. What is found does not depend on how the log is cut.
"""

import re
from collections.abc import Callable, Iterator

from instances.logs.line import Line
from instances.logs.writer import STAMP

LEVELS = {"": frozenset[str](), "warning": frozenset({"warning", "error"}), "error": frozenset({"error"})}

_ASCII = re.compile(r"[\x00-\x7f]+")
_CSI = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]?")
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_ESCAPE = re.compile(  # of clean.py, in bytes, and never over the end of a line
    rb"(?:\x1b[\]PX^_]|\xc2[\x90\x98\x9d-\x9f])(?:(?!\xc2\x9c)[^\x07\x1b\r\n])*(?:\x07|\x1b\\|\xc2\x9c)?"
    rb"|(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*[@-~]?"
    rb"|\x1b[ -/]*[0-~]?"
)

# What begins a line of a level, as `line.py` reads it: exactly, where a look at its beginning is cheap ...
_BEGINS = {
    "error": re.compile(rb"Z (?:\([^()\n]*\) )?(?:ERROR|CRITICAL|[EF]\d{4} |Traceback |\xe2\x80\xa6 the e)"),
    "warning": re.compile(
        rb"Z (?:\([^()\n]*\) )?(?:WARNING|ERROR|CRITICAL|[WEF]\d{4} |Traceback |\xe2\x80\xa6 the )"
    ),
}
# ... and else by a word that it must have.
_ERRORS = (b"rror", b"xception", b" - ERROR - ", b" - CRITICAL - ")
_HAS = {"error": _ERRORS, "warning": (*_ERRORS, b"Warning: ", b" - WARNING - ")}


class Wanted:
    """Lines with a word in their text, letter case apart, of a level or worse.

    A word is looked for in what the engine wrote, without escapes; not in what cleaning puts in (`<U+202E>`).

    """

    def __init__(self, search: str, level: str) -> None:
        """Raises KeyError for a level that is none of LEVELS."""
        self.word = search.lower()
        self.level = level
        self.levels = LEVELS[level]
        self._ascii = max(_ASCII.findall(self.word), key=len, default="").encode()
        self._caseless = all(char.isascii() or char.lower() == char.upper() for char in self.word)

    @property
    def everything(self) -> bool:
        return not (self.word or self.level)

    def has_word(self, line: Line) -> bool:
        return self.word in line.text.lower()

    def starts(self, data: bytes) -> Iterator[int]:
        """Where in these whole lines of the log those begin that may match, in order.

        Those with the level wanted; without one, those with the word.
        """
        if self.level:
            plain, places = _without_escapes(data), self._of_level
        elif self._caseless:
            plain, places = _without_escapes(data).lower(), self._of_word
        elif data.isascii():
            return
        else:  # letters like Ü: only Python's text knows their other case, and it takes long to make
            plain, places = _without_escapes(data), self._of_word
            if self._ascii not in plain.lower():
                return
            plain = plain.decode("utf-8", "replace").lower().encode("utf-8", "replace")
        yield from places(plain) if len(plain) == len(data) else _same_lines(plain, data, places)

    def _of_word(self, plain: bytes) -> Iterator[int]:
        word = self.word.encode("utf-8", "replace")
        found = plain.find(word)
        while found >= 0:
            start = plain.rfind(b"\n", 0, found) + 1
            text = start + STAMP
            if found < text and plain[text - 2 : text].lower() == b"z ":  # it is in the time
                found = plain.find(word, text)
                if found < 0 or plain.rfind(b"\n", text, found) >= 0:
                    continue
            yield start
            end = plain.find(b"\n", found)
            found = plain.find(word, end) if end >= 0 else -1

    def _of_level(self, plain: bytes) -> Iterator[int]:
        starts = {plain.rfind(b"\n", 0, found.start()) + 1 for found in _BEGINS[self.level].finditer(plain)}
        for word in _HAS[self.level]:
            found = plain.find(word)
            while found >= 0:
                starts.add(plain.rfind(b"\n", 0, found) + 1)
                end = plain.find(b"\n", found)
                found = plain.find(word, end) if end >= 0 else -1
        yield from sorted(starts)


def _every(data: bytes) -> Iterator[int]:
    at = 0
    while 0 <= at < len(data):
        yield at
        at = data.find(b"\n", at) + 1 or -1


def _same_lines(plain: bytes, data: bytes, places: Callable[[bytes], Iterator[int]]) -> Iterator[int]:
    """The lines of `data` by their numbers in `plain`, where some bytes are missing."""
    starts: list[int] = []
    number = at = 0
    for place in places(plain):
        starts = starts or list(_every(data))
        number += plain.count(b"\n", at, place)
        at = place
        yield starts[number]


def _without_escapes(data: bytes) -> bytes:
    escapes = data.count(b"\x1b")
    if escapes == data.count(b"\x1b[") and not (b"\xc2" in data and _C1.search(data)):
        return _CSI.sub(b"", data) if escapes else data  # nothing but colours: twice as fast
    return _ESCAPE.sub(b"", data)
