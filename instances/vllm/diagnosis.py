"""Says in words why an engine ended, with the log line that proves it. It never guesses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from instances.vllm.causes import CAUSES, Cause
from instances.vllm.lines import QUIET, LogLine, read
from instances.vllm.outside import NOTHING, Outside, by_gpu, by_memory, by_signal, during
from instances.vllm.phases import is_milestone
from instances.vllm.stages import AT_WORK, READY, SERVING, stage_of
from instances.vllm.stalls import stalled
from instances.vllm.verdict import EVIDENCE_LIMIT, Diagnosis

__all__ = ["NOTHING", "Diagnosis", "Outside", "diagnose", "stalled"]

RECENT = 50  # lines; what is older does not explain a SIGKILL
LOOKED_AT = 5_000  # lines from the end: every pattern meets every line
SHOWN = 5  # lines of an error that nobody knows

EXCEPTION = re.compile(
    r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Exit|Interrupt)(?:\([\w.]+\))?(?:: |:?$)"
    r"|^(?:[\w.]+\.)?\w*(?:Error|Exception)\(['\"].*\)$"
    r"|^[a-z_]\w*(?:\.\w+)*\.[A-Z]\w+(?:: |$)"  # exceptions of libraries that are not named so
)
INNER = re.compile(r"^(?:EngineCore|VllmWorker|Worker|RayWorker|rank\d)")
BETWEEN = re.compile(r"^(?:During handling of the above|The above exception was|Traceback )")

# Lines that only pass on that an inner process has failed; its own lines say why.
PASSED_ON = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineCore (?:encountered|hit) an? "
    r"|EngineDeadError|WorkerProc (?:initialization failed|failed to start)|Engine is already dead"
    r"|AsyncLLM output_handler failed|Engine process failed to start|EngineGenerateError"
    r"|died unexpectedly|[Ww]orker failed with error|Failed core proc|ActorDiedError|WorkerCrashedError"
    r"|Engine loop is not running|Background loop (?:has errored|is stopped)|AsyncEngineDeadError"
)
INNER_EXIT = re.compile(r"(?:exit ?code:? |Failed core proc\(s\): \{[^}]*?: )(?P<code>-\d+)")
INTERRUPTED = re.compile(r"^(?:KeyboardInterrupt\b|(?:asyncio\.exceptions\.)?CancelledError\b)")
OF_THE_GPU = frozenset({"gpu-fault", "gpu-hardware", "gpus-not-connected", "worker-timed-out", "crashed"})


def diagnose(
    lines: Sequence[str],
    *,
    exit_code: int | None,
    signal: int | None,
    phase: str,
    asked_to_stop: bool = False,
    outside: Outside = NOTHING,
) -> Diagnosis:
    """Why the engine ended: from its log's last lines (a few thousand will do), its exit, its last phase (or
    "running") and what the kernel says."""
    if asked_to_stop:
        return Diagnosis("stopped", "It was stopped on request.", "", "", False)
    if signal is None and exit_code is not None and exit_code < 0:
        signal = -exit_code
    start, served = _start(lines, signal)
    told = list(read(lines, start))
    at_work = served or phase == "running" or any(AT_WORK.search(line.message) for line in told)
    complaints = [line for line in told if line.is_complaint]
    if signal == 9 and (killed := by_memory(outside)):
        return killed
    known = _known(told, complaints, SERVING if at_work and phase in ("", "running", "warm_up") else phase)
    if (known is None or known.code in OF_THE_GPU) and (broken := by_gpu(outside)):
        return broken
    return (
        known
        or by_signal(signal, phase)
        or _inner_process(complaints, phase, outside)
        or _interrupted(complaints)
        or _unknown(complaints, exit_code, phase)
    )


def _start(lines: Sequence[str], signal: int | None) -> tuple[int, bool]:
    """Where the lines begin in which the cause can stand, and whether it had become ready before."""
    least = max(0, len(lines) - LOOKED_AT)
    start = next((at + 1 for at in range(len(lines) - 1, least - 1, -1) if READY in lines[at]), None)
    served = start is not None
    first = least if start is None else start
    return (max(first, len(lines) - RECENT) if signal == 9 else first), served


def _known(told: list[LogLine], complaints: list[LogLine], phase: str) -> Diagnosis | None:
    # The last line is the one that ended it: earlier ones may have been survived.
    newest, newest_complaints = _newest(told), _newest(complaints)
    got_on = _last(line for line in told if line.level in QUIET and is_milestone(line.message))
    for known in CAUSES:
        for line in newest if known.any_level else newest_complaints:
            groups = _match(known, line.message)
            if groups is None or (known.at_once and got_on and got_on.index > line.index):
                continue
            if known.phases and stage_of(told, line.index - told[0].index, phase) not in known.phases:
                continue
            if found := _said(known, groups, line):
                return found
    return None


def _newest(lines: Sequence[LogLine]) -> list[LogLine]:
    """From the last to the first. Ranks repeat each other: of equal messages the last one is enough."""
    found: dict[str, LogLine] = {}
    for line in reversed(lines):
        found.setdefault(line.message, line)
    return list(found.values())


def _match(known: Cause, message: str) -> dict[str, str] | None:
    for pattern in known.patterns:
        if found := re.search(pattern, message):
            return {name: text or "" for name, text in found.groupdict().items()}
    return None


def _said(known: Cause, groups: dict[str, str], line: LogLine) -> Diagnosis | None:
    words = defaultdict(str, groups)
    if known.derive:
        derived = known.derive(groups)
        if derived is None:
            return None
        words.update(derived)
    return Diagnosis(
        known.code,
        _sentence(known.cause.format_map(words)),
        _sentence(known.advice.format_map(words)),
        line.whole[:EVIDENCE_LIMIT],
        known.final,
        known.change_for(defaultdict(str, groups)),
        line.index,
    )


def _sentence(text: str) -> str:
    """What is left when a word was missing or the log's own text ended with a full stop."""
    text = re.sub(r" \(\W*\)", "", text)
    text = re.sub(r"\s+\.$", ".", text)
    text = re.sub(r":\s*\.$", ".", text)
    return re.sub(r"\.\.$", ".", text)


def _inner_process(complaints: list[LogLine], phase: str, outside: Outside) -> Diagnosis | None:
    """When an inner process has failed: its own last error, or else that the log does not say why."""
    passed_on = _last(line for line in complaints if PASSED_ON.search(line.message))
    if passed_on is None:
        return None
    inner = _last(
        line
        for line in complaints
        if INNER.match(line.process) and EXCEPTION.match(line.message) and not PASSED_ON.search(line.message)
    ) or _last(
        line
        for line in complaints
        if line.index < passed_on.index
        and not line.process
        and EXCEPTION.match(line.message)
        and not PASSED_ON.search(line.message)
        and not INTERRUPTED.match(line.message)
    )
    if inner:
        advice = "Its last error may say what to change; else start it again, or try eager mode."
        cause = "The engine's inner process failed."
        return _quoting(Diagnosis("engine-core-failed", cause, advice, "", False), complaints, inner)
    if killed := by_memory(outside):
        return killed
    ends = [match for line in complaints if (match := INNER_EXIT.search(line.message))]
    if ends and (ended := by_signal(-int(ends[-1]["code"]), phase)):
        cause = ended.cause.replace("The engine ", "The engine's inner process ", 1)
        return replace(ended, cause=cause, evidence=passed_on.whole[:EVIDENCE_LIMIT], line=passed_on.index)
    advice = (
        "Start it again; if it comes back, try eager mode or another version of the engine, and look "
        "into the kernel's log (dmesg)."
    )
    cause = "The engine's inner process died; the log does not say why."
    return Diagnosis(
        "engine-core-died", cause, advice, passed_on.whole[:EVIDENCE_LIMIT], False, line=passed_on.index
    )


def _interrupted(complaints: list[LogLine]) -> Diagnosis | None:
    last = _last(line for line in complaints if EXCEPTION.match(line.message))
    if last is None or not INTERRUPTED.match(last.message):
        return None
    cause = "Somebody outside the console told the engine to stop."
    return Diagnosis(
        "stopped-from-outside",
        cause,
        "Start it again; to stop an engine, use the console's Stop.",
        last.whole[:EVIDENCE_LIMIT],
        False,
        line=last.index,
    )


def _unknown(complaints: list[LogLine], exit_code: int | None, phase: str) -> Diagnosis:
    if exit_code in (126, 127):
        cause = "The engine's command could not be executed."
        found = Diagnosis("cannot-execute", cause, "Check that the engine is installed.", "", True)
        return _quoting(found, complaints, _last_error(complaints))
    if exit_code == 0:
        cause = f"The engine ended by itself{during(phase)}, without an error."
        return Diagnosis("ended", cause, "Look at its log, then start it again.", "", False)
    last = _last_error(complaints)
    how = f" with exit code {exit_code}{during(phase)}" if exit_code is not None else during(phase)
    cause = f"The engine ended{how}; why is not known here."
    told, silent = "Its last error says what to change.", "Its log names no error; its last lines may tell."
    refused = exit_code == 2  # its command line was not accepted
    return _quoting(Diagnosis("unknown", cause, told if last else silent, "", refused), complaints, last)


def _last_error(complaints: list[LogLine]) -> LogLine | None:
    return (
        _last(line for line in complaints if EXCEPTION.match(line.message))
        or _last(line for line in complaints if line.level and line.message.strip())
        or _last(line for line in complaints if "error" in line.message.lower())
    )


def _quoting(found: Diagnosis, complaints: list[LogLine], last: LogLine | None) -> Diagnosis:
    """With that line and what its process said with it: messages may have several lines."""
    if last is None:
        return found
    quoted = [last]
    for line in complaints:
        if line.index <= last.index or not line.message.strip() or line.origin != last.origin:
            continue
        if len(quoted) == SHOWN or not _goes_on(quoted[-1], line):
            break
        quoted.append(line)
    text = "\n".join(line.whole for line in quoted)
    return replace(found, evidence=text[:EVIDENCE_LIMIT], line=last.index)


def _goes_on(before: LogLine, line: LogLine) -> bool:
    """Whether `line` is a further line of the same message. Without a prefix only its shape can tell."""
    if line.level != before.level or line.index - before.index > SHOWN:
        return False
    if BETWEEN.match(line.message) or EXCEPTION.match(line.message):
        return False
    return bool(line.origin or line.level) or line.message[0].isspace() or before.message.endswith((":", ","))


def _last(lines: Iterable[LogLine]) -> LogLine | None:
    found = list(lines)
    return found[-1] if found else None
