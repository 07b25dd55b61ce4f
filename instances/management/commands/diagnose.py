"""`manage.py diagnose FILE`: what the page of a launch says, of any engine's log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandParser

from instances.logs.clean import clean
from instances.vllm.phases import BY_SLUG
from instances.vllm.report import Report, phases_in_words, report_of, span

LONGEST = 64 * 1024  # bytes of a line that are looked at


class Command(BaseCommand):
    help = "Say of a vLLM log file how far the start came, why it ended and what to change."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the log, of any size and from anywhere; - reads standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        try:
            with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
                report = report_of(lines_of(file))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.stdout.write(f"{name} cannot be read: {reason}.")
            return
        for line in told(report):
            self.stdout.write(line)


def lines_of(file: BinaryIO) -> Iterator[str]:
    """Cleaned lines in bounded memory; of a line that is very long the rest is left out."""
    start = file.read(2)
    wide = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(start)  # PowerShell writes it
    end = "\n".encode(wide) if wide else b"\n"
    line = b"" if wide else start
    while data := file.read(LONGEST):
        *lines, line = _split(line + data, end)
        for one in lines:
            yield _text(one, wide)
        if len(line) > 4 * LONGEST:
            line = line[: 2 * LONGEST]
    if line:
        yield from (_text(one, wide) for one in _split(line, end) if one)


def _split(data: bytes, end: bytes) -> list[bytes]:
    if len(end) == 1:
        return data.split(end)
    lines, start, at = [], 0, data.find(end)
    while at >= 0:
        if at % 2 == start % 2:
            lines.append(data[start:at])
            start = at + 2
        at = data.find(end, at + 1)
    return [*lines, data[start:]]


def _text(line: bytes, wide: str | None) -> str:
    line = line[: 2 * LONGEST]
    return clean(line.decode(wide, "replace").encode() if wide else line)


def told(report: Report) -> Iterator[str]:
    if not report.lines:
        yield "The log is empty; there is nothing to say about it."
        return
    yield f"Phases    {phases_in_words(report)}"
    after = f" after {span(report.ready_after)}" if report.ready_after else ""
    yield f"Ready     {'yes' + after if report.ready else 'no'}"
    why = report.why
    if why:
        yield f"Cause     {why.cause}"
        if why.advice:
            yield f"What to change  {why.advice}"
        if why.change:
            yield f"Configuration  {json.dumps(why.change, ensure_ascii=False)}"
    elif report.ready:
        yield f"It became ready{after}; no failure is in this log."
    else:
        phase = BY_SLUG.get(report.phase)
        where = f" while {phase.sentence[0].lower()}{phase.sentence[1:]}" if phase else ""
        yield f"Cause     The log ends{where} and names no error: the engine still starts, or was killed."
    if why and why.evidence:
        yield "Evidence"
        yield from why.evidence.split("\n")
    for notice in report.notices:
        yield f"Notice    {notice['text']} {notice['advice']}"
        yield notice["evidence"]
