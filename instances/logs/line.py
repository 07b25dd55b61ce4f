"""One line of a log, from the bytes that lie on disk to what a page may show, and how bad it is."""

import re
from dataclasses import dataclass

from instances.logs.clean import clean
from instances.logs.writer import STAMP

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
_GOES_ON = re.compile(r"(?:\([^()]*\) )?[ \t]")


@dataclass(frozen=True)
class Line:
    """One line as a page shows it. The same offset is the same line, in a later state perhaps."""

    offset: int  # bytes
    time: str  # when it was written, ISO 8601 UTC; empty for a marker
    level: str  # debug, info, warning, error, or empty if it says none
    text: str  # cleaned: see clean.py

    @property
    def goes_on(self) -> bool:
        """Whether it belongs to the line before it, as the indented lines of a plain traceback do."""
        return not self.level and _GOES_ON.match(self.text) is not None


def line_of(offset: int, raw: bytes) -> Line:
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


def gap_of(start: int, end: int) -> Line:
    """The marker where these bytes have been dropped."""
    return Line(start, "", "warning", f"… {(end - start) / 1024 / 1024:.1f} MiB of log dropped here")


def _level(text: str) -> str:
    found = _LEVEL.match(text)
    return _LEVELS.get(found[found.lastgroup], found.lastgroup) if found and found.lastgroup else ""
