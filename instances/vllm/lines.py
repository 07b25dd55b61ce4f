"""A line of an engine's log, told apart from what other programs put before its message.

The engine's own prefix names process, level and place; docker compose, journald, Kubernetes, Ray, NCCL, torch
and our own log store each add theirs, in any number. Nothing here knows what a message means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

LINE_LIMIT = 2_000  # characters of a line that are looked at: a search must not take long

_DAY = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)"
_WORD = r"(?P<level>DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)"

# What a container's or a system's log puts before the line; stamps of these are `when`.
OUTER = (
    re.compile(rf"(?P<when>{_DAY}T{_TIME}{_ZONE}) \S+ \S+\[\d+\]: ?"),  # journald, ISO
    re.compile(rf"(?P<when>{_DAY}T{_TIME}{_ZONE})(?: (?:stdout|stderr) [FP])? "),  # ours, docker -t, CRI
    re.compile(r"[\w.-]+ +\| ?"),  # docker compose
    re.compile(r"\[pod/[\w./-]+\] "),  # kubectl logs --prefix
    re.compile(r"(?P<when>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S+ \S+?(?:\[\d+\])?: ?"),  # journald
)
# What programs beside the engine's main process put before theirs.
INNER = (
    re.compile(r"\((?:(?P<process>[\w.:-]+)[ ,]+)?\w+=[^\s,)]+(?:[ ,]+\w+=[^\s,)]+)*\) ?"),  # also twice
    re.compile(r"\((?P<process>raylet|autoscaler|gcs_server)\b[^()]{0,80}\) ?"),
    re.compile(r"\[(?P<process>rank\d+)\]: ?"),  # torch
    re.compile(r" {2,12}\| "),  # a group of exceptions
)
LEVELS = (
    re.compile(
        rf"{_WORD}(?:: +| (?:(?P<when>(?:\d{{4}}-)?\d\d-\d\d {_TIME}) )?\[?[\w./-]+:\d+\] ?)"  # vLLM, uvicorn
    ),
    re.compile(rf"{_WORD}\s+(?=[\w.:]+: )"),  # Rust, after a stamp
    re.compile(rf"{_WORD}:[\w.]+:"),  # Python's own
    re.compile(
        rf"\[?(?P<when>{_DAY}[ T]{_TIME}){_ZONE}?\]?"  # libraries, loguru, Rust
        rf"(?:\s+-\s+\S+\s+-\s+|\s+-\s+|\s+\|\s+|\s+\[?){_WORD}\]?(?:\s+-\s+|\s+\|\s+|:\s+|\s+)"
    ),
    re.compile(rf"(?P<letter>[DIWEFC])(?P<when>\d{{4}} {_TIME}) +\d+ +\S+:\d+\] ?"),  # torch
    re.compile(rf"\[(?P<when>{_DAY} {_TIME})\] (?=\S+:\d+:\d+ \[)"),  # NCCL with time stamps
    re.compile(r"[\w.-]+:\d+:\d+ \[\d+\] (?:\S+:\d+ )?NCCL (?P<level>INFO|WARN|TRACE) ?"),
)
# By the first character of a line, since most lines have none of them.
PREFIXES = {
    "(": (INNER[0], INNER[1]),
    "[": (OUTER[3], INNER[2], LEVELS[3], LEVELS[5]),
    " ": (INNER[3],),
    "0": (OUTER[0], OUTER[1], LEVELS[3], OUTER[2], LEVELS[6]),
    "A": (LEVELS[0], LEVELS[1], LEVELS[2], LEVELS[4], OUTER[4], OUTER[2], LEVELS[6]),
    "a": (OUTER[2], LEVELS[6]),
}
LETTERS = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL", "C": "CRITICAL"}
QUIET = frozenset({"DEBUG", "INFO", "WARNING", "WARN", "TRACE"})

SOURCE = re.compile(
    r'(?: {2}File "| {4,}|\t|raise |[~^]+$|[rf]{0,2}["\']|Traceback )'
)  # a traceback quotes it


@dataclass(frozen=True)
class LogLine:
    """One line of the log. `index` counts from 0 in what was given."""

    whole: str
    index: int
    process: str  # "EngineCore", "Worker_TP0", ... or ""
    origin: str  # all that stands before the level: lines of one process have the same
    level: str  # "ERROR", ... or ""
    message: str

    @property
    def is_source(self) -> bool:
        return SOURCE.match(self.message) is not None

    @property
    def is_complaint(self) -> bool:
        """False for source text in tracebacks, and for lines that advise or report in the words of errors."""
        return self.level not in QUIET and not self.is_source


def read(lines: Sequence[str], start: int = 0) -> Iterator[LogLine]:
    for index in range(start, len(lines)):
        yield line_of(lines[index], index)


def line_of(line: str, index: int = 0) -> LogLine:
    whole = line.rstrip("\r\n")
    rest = whole[: 2 * LINE_LIMIT]
    process, level = "", ""
    origin: list[str] = []
    for _ in range(8):  # prefixes; a line of nothing else is not one of ours
        match = _prefix(rest)
        if match is None:
            break
        found = match.groupdict()
        rest = rest[match.end() :]
        if found.get("level") or found.get("letter"):
            level = found.get("level") or LETTERS[found["letter"]]
            if "NCCL" in match[0]:  # its warnings are why it fails
                level = "" if level == "WARN" else level
            break
        if "when" not in found:
            origin.append(match[0])
        process = found.get("process") or process
    return LogLine(whole, index, process, "".join(origin), level, rest[:LINE_LIMIT])


def _prefix(text: str) -> re.Match[str] | None:
    first = text[:1]
    kind = "0" if first.isdigit() else "A" if first.isupper() else "a" if first.isalpha() else first
    for pattern in PREFIXES.get(kind, ()):
        if match := pattern.match(text):
            return match
    return None


class Clock:
    """Reads when lines were written. The first kind of stamp that is seen stays the only one.

    What surrounds the engine may count in another time zone than the engine itself. The engine's own stamps
    name no year: only differences between the times mean anything.
    """

    def __init__(self) -> None:
        self._outer: bool | None = None
        self._year = 2000
        self._month = 0

    def at(self, line: str) -> datetime | None:
        """None for a line without a stamp of that kind, or with one that is no time."""
        rest = line[:LINE_LIMIT]
        for _ in range(8):
            match = _prefix(rest)
            if match is None:
                return None
            if stamp := match.groupdict().get("when"):
                outer = any(match.re is pattern for pattern in OUTER)
                if self._outer is None:
                    self._outer = outer
                if outer == self._outer:
                    return self._time(stamp)
            rest = rest[match.end() :]
        return None

    def _time(self, stamp: str) -> datetime | None:
        found = STAMP.match(stamp)
        if found is None:
            return None
        month, day = found["month"] or found["packed"][:2], found["day"] or found["packed"][2:]
        number = MONTHS.get(month) or (int(month) if month.isdigit() else 0)
        parts = int((found["parts"] or "0")[:6].ljust(6, "0"))
        clock = int(found["hour"]), int(found["minute"]), int(found["second"]), parts
        try:
            if found["year"] and self._outer:
                return datetime(int(found["year"]), number, int(day), *clock)
            return self._in_year(datetime(2000, number, int(day), *clock))
        except ValueError:
            return None

    def _in_year(self, time: datetime) -> datetime:
        if time.month == 1 and self._month == 12:
            self._year += 1
        self._month = time.month
        return time.replace(year=self._year) if self._year != 2000 else time


STAMP = re.compile(
    r"(?:(?:(?P<year>\d{4})-)?(?P<month>\d\d|[A-Z][a-z]{2})[- ](?P<day>[ \d]\d)|(?P<packed>\d{4}))[ T]"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<parts>\d+))?"
)
MONTHS = dict(zip("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), range(1, 13), strict=True))
