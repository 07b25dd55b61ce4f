"""What any log file of an engine says: how far it came, how long each phase took, why it ended."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from instances.vllm.diagnosis import Diagnosis, diagnose
from instances.vllm.lines import LINE_LIMIT, Clock, line_of
from instances.vllm.notices import NoticeReader
from instances.vllm.phases import BY_SLUG, PhaseReader
from instances.vllm.stages import AT_WORK, READY

KEPT = 5_000  # lines of the end in which the cause is looked for
UNSAID = frozenset({"unknown", "ended"})  # codes of an end that has no known cause
ENDED = re.compile(r"^(?:Finished server process|Application shutdown complete|Shutting down)")
BEGINS = re.compile(r"vLLM API server version|non-default args: ")
ANSWERED = re.compile(r'"POST /v1/\S+ HTTP/[\d.]+" 200')


@dataclass
class Report:
    """Of one start and what came of it; a log with several starts is told by the last one."""

    lines: int = 0
    ready: bool = False
    ready_after: float | None = None  # seconds from the first line that has a time
    seconds: dict[str, float] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    phase: str = ""
    why: Diagnosis | None = None  # None: no failure stands in this log
    notices: list[dict[str, Any]] = field(default_factory=list)


class _Reader:
    """Follows one start. A log that holds several is told by the last one."""

    def __init__(self) -> None:
        self.report = Report()
        self.kept = deque[str](maxlen=KEPT)
        self.phases, self.notices = PhaseReader(), NoticeReader()
        self.began: datetime | None = None
        self.latest: datetime | None = None
        self.ended = False

    def feed(self, line: str, message: str, at: datetime | None) -> None:
        self.report.lines += 1
        self.kept.append(line)
        if AT_WORK.search(message) is None or '" 500' in message or "Swapped: " in message:
            self.notices.feed(line)
        self.latest = at or self.latest
        self.began = self.began or at
        if not self.report.ready:
            self.phases.feed(message, at)
            self.report.ready = READY in message or ANSWERED.search(message) is not None
            if self.report.ready and self.latest and self.began:
                self.report.ready_after = (self.latest - self.began).total_seconds()
        self.ended = self.ended or ENDED.search(message) is not None

    def begins_anew(self, message: str) -> bool:
        far = self.report.ready or self.phases.phase not in ("", "import")
        return far and BEGINS.search(message) is not None

    def result(self) -> Report:
        report, phases = self.report, self.phases
        measured = phases.snapshot()["seconds"] if self.began else {}
        report.seen, report.phase = phases.seen, phases.phase
        report.seconds = {
            slug: spent for slug, spent in {**measured, **phases.told}.items() if slug in phases.seen
        }
        report.notices = self.notices.notices
        phase = "running" if report.ready else phases.phase
        found = diagnose(list(self.kept), exit_code=None, signal=None, phase=phase)
        unsaid = found.code in UNSAID and (not found.evidence or (report.ready and not self.ended))
        report.why = None if unsaid else found
        return report


def report_of(lines: Iterable[str]) -> Report:
    """Of cleaned lines, of which only the last ones are kept. The lines may come with any prefix."""
    reader, clock = _Reader(), Clock()
    for line in lines:
        message = line_of(line[: 2 * LINE_LIMIT]).message
        if reader.begins_anew(message):
            reader = _Reader()
        reader.feed(line, message, clock.at(line))
    return reader.result()


def phases_in_words(report: Report) -> str:
    """`import 8 s, weights 142 s, compile 39 s`; a phase of which no length is known stands alone."""
    parts = []
    for slug in report.seen:
        label = BY_SLUG[slug].label.lower()
        seconds = report.seconds.get(slug)
        parts.append(label if seconds is None else f"{label} {span(seconds)}")
    return ", ".join(parts) or "none was seen"


def span(seconds: float) -> str:
    return f"{seconds:.1f} s" if 0 < seconds < 10 and round(seconds, 1) % 1 else f"{seconds:.0f} s"
