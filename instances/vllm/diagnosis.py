"""Says in words why an engine ended, with the log line that proves it. It never guesses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from instances.vllm.causes import CAUSES, Cause
from instances.vllm.phases import BY_SLUG

EVIDENCE_LIMIT = 2_000  # characters of a quoted line
LINE_LIMIT = 2_000  # characters of a line that are looked at: a search must not take long
RECENT = 50  # lines; what is older does not explain a SIGKILL
STARTED = (
    "Application startup complete"  # uvicorn's line: whatever was complained about before, the start survived
)

# What stands before a message: docker compose, journald, process names (also twice), level and place.
CONTAINER = re.compile(r"^[\w.-]+ +\| ")
JOURNAL = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S+\[\d+\]: ")
PROCESS = re.compile(r"^\((?P<name>\w[\w.-]*)(?:,? (?:rank|pid|ip)=[\w.:]+)+\) ?")
LEVEL = re.compile(
    r"^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)(?:: +| \d\d-\d\d \d\d:\d\d:\d\d \[?[\w./]+:\d+\] ?)"
)
SOURCE = re.compile(r'^(?: {2}File "| {4,}|\t|raise |\^+$|f?"|Traceback )')  # what a traceback quotes
EXCEPTION = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Exit|Interrupt)(?:: |$)")
INNER = re.compile(r"^(?:EngineCore|VllmWorker|Worker|RayWorker)")

# Lines that only pass on that an inner process has failed; its own lines say why.
PASSED_ON = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineCore encountered an issue"
    r"|EngineDeadError|WorkerProc (?:initialization failed|failed to start)|Engine is already dead"
    r"|AsyncLLM output_handler failed|Engine process failed to start|EngineGenerateError"
)

SIGNALS = {
    4: ("SIGILL", "The engine crashed: the processor does not know an instruction that it uses (SIGILL)."),
    6: ("SIGABRT", "The engine crashed and ended itself (SIGABRT)."),
    7: ("SIGBUS", "The engine crashed on a memory access (SIGBUS); often shared memory (/dev/shm) is full."),
    11: ("SIGSEGV", "The engine crashed on a memory access (SIGSEGV)."),
}


@dataclass(frozen=True)
class Diagnosis:
    """Why a launch ended. `final`: it is no use to start it again unchanged."""

    code: str
    cause: str  # one sentence for a person
    advice: str  # what to change, one sentence
    evidence: str  # the log line as it stands, or ""
    final: bool


@dataclass(frozen=True)
class LogLine:
    """One line of the log, told apart from what stands before its message."""

    whole: str
    process: str  # "EngineCore", "Worker_TP0", ... or ""
    level: str  # "ERROR", ... or ""
    message: str

    @property
    def is_complaint(self) -> bool:
        """False for source text in tracebacks, and for lines that advise or report in the words of errors."""
        return self.level in ("", "ERROR", "CRITICAL") and not SOURCE.match(self.message)


def diagnose(
    lines: Sequence[str],
    *,
    exit_code: int | None,
    signal: int | None,
    phase: str,
    asked_to_stop: bool = False,
) -> Diagnosis:
    """Why the engine ended, from its log's last lines (a few thousand will do), its exit and last phase."""
    if asked_to_stop:
        return Diagnosis("stopped", "It was stopped on request.", "", "", False)
    if signal is None and exit_code is not None and exit_code < 0:
        signal = -exit_code
    read = [_read(line) for line in _that_count(lines, signal)]
    complaints = [line for line in read if line.is_complaint]
    return (
        _known(read, complaints, phase)
        or _by_signal(signal, phase)
        or _inner_process(complaints)
        or _unknown(complaints, exit_code, phase)
    )


def _that_count(lines: Sequence[str], signal: int | None) -> Sequence[str]:
    """The lines in which the cause can stand."""
    for index in range(len(lines) - 1, -1, -1):
        if STARTED in lines[index]:
            lines = lines[index + 1 :]
            break
    return lines[-RECENT:] if signal == 9 else lines


def _read(line: str) -> LogLine:
    whole = line.rstrip("\r\n")
    rest = JOURNAL.sub("", CONTAINER.sub("", whole[: 2 * LINE_LIMIT]))
    process = ""
    while match := PROCESS.match(rest):
        process, rest = match["name"], rest[match.end() :]
    level = ""
    if match := LEVEL.match(rest):
        level, rest = match["level"], rest[match.end() :]
    return LogLine(whole, process, level, rest[:LINE_LIMIT])


def _known(read: list[LogLine], complaints: list[LogLine], phase: str) -> Diagnosis | None:
    for known in CAUSES:
        if known.phases and phase not in known.phases:
            continue
        # The last line is the one that ended it: earlier ones may have been survived.
        for line in reversed(read if known.any_level else complaints):
            if groups := _match(known, line.message):
                words = defaultdict(str, groups)
                if known.derive:
                    words.update(known.derive(groups))
                return Diagnosis(
                    known.code,
                    _sentence(known.cause.format_map(words)),
                    _sentence(known.advice.format_map(words)),
                    line.whole[:EVIDENCE_LIMIT],
                    known.final,
                )
    return None


def _match(known: Cause, message: str) -> dict[str, str] | None:
    """The pattern's groups; an entry under "" makes a match without groups true as well."""
    for pattern in known.patterns:
        if found := re.search(pattern, message):
            return {"": found[0]} | {name: text or "" for name, text in found.groupdict().items()}
    return None


def _sentence(text: str) -> str:
    """What is left when a word was missing or the log's own text ended with a full stop."""
    text = re.sub(r":\s*\.$", ".", text)
    return re.sub(r"\.\.$", ".", text)


def _by_signal(signal: int | None, phase: str) -> Diagnosis | None:
    if signal is None:
        return None
    if signal == 9:
        cause = f"The engine was killed from outside (SIGKILL){_during(phase)}; its log does not say by whom."
        advice = (
            "If memory was short, the kernel may have done it: its log (dmesg, journalctl -k) says so then."
        )
        return Diagnosis("killed", cause, advice, "", False)
    if signal in (1, 2, 15):
        cause = "Somebody outside the console told the engine to stop."
        return Diagnosis("stopped-from-outside", cause, "Start it again.", "", False)
    name, cause = SIGNALS.get(signal, (f"signal {signal}", f"The engine was ended by signal {signal}."))
    advice = f"Start it again; if {name} comes back, try eager mode or another version of the engine."
    return Diagnosis("crashed", cause, advice, "", False)


def _inner_process(complaints: list[LogLine]) -> Diagnosis | None:
    """When an inner process has failed: its own last error, or else that the log does not say why."""
    passed_on = _last(line for line in complaints if PASSED_ON.search(line.message))
    if passed_on is None:
        return None
    inner = _last(
        line
        for line in complaints
        if INNER.match(line.process) and EXCEPTION.match(line.message) and not PASSED_ON.search(line.message)
    )
    advice = "Start it again; if it comes back, try eager mode or another version of the engine."
    if inner is None:
        cause = "The engine's inner process died; the log does not say why."
        return Diagnosis("engine-core-died", cause, advice, passed_on.whole[:EVIDENCE_LIMIT], False)
    cause = "The engine's inner process failed."
    return Diagnosis("engine-core-failed", cause, advice, inner.whole[:EVIDENCE_LIMIT], False)


def _unknown(complaints: list[LogLine], exit_code: int | None, phase: str) -> Diagnosis:
    if exit_code in (126, 127):
        cause = "The engine's command could not be executed."
        return Diagnosis(
            "cannot-execute", cause, "Check that the engine is installed.", _evidence(complaints), True
        )
    if exit_code == 0:
        cause = f"The engine ended by itself{_during(phase)}, without an error."
        return Diagnosis("ended", cause, "Look at its log, then start it again.", "", False)
    code = "unknown exit code" if exit_code is None else f"exit code {exit_code}"
    cause = f"The engine ended with {code}{_during(phase)}."
    evidence = _evidence(complaints)
    told, silent = "Its last error says what to change.", "Its log names no error; its last lines may tell."
    advice = told if evidence else silent
    refused = exit_code == 2  # its command line was not accepted
    return Diagnosis("unknown", cause, advice, evidence, refused)


def _evidence(complaints: list[LogLine]) -> str:
    found = (
        _last(line for line in complaints if EXCEPTION.match(line.message))
        or _last(line for line in complaints if line.level)
        or _last(line for line in complaints if "error" in line.message.lower())
    )
    return found.whole[:EVIDENCE_LIMIT] if found else ""


def _during(phase: str) -> str:
    known = BY_SLUG.get(phase)
    return f" while {known.sentence[0].lower()}{known.sentence[1:]}" if known else ""


def _last(lines: Iterable[LogLine]) -> LogLine | None:
    found = list(lines)
    return found[-1] if found else None
