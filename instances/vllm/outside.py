"""What stands outside of an engine's log and explains its end: the kernel's own word, and signals."""

from __future__ import annotations

import re
from dataclasses import dataclass

from instances.vllm.phases import BY_SLUG
from instances.vllm.verdict import EVIDENCE_LIMIT, Diagnosis

KILLED = re.compile(r"[Oo]ut of memory: Killed process|oom-kill:|oom_reaper: reaped|Killed process \d+")
XID = re.compile(r"NVRM: Xid \((?P<place>[^)]*)\): (?P<number>\d+)")

RESET = "Reset the GPU or reboot the machine; if it comes back, the card has to be looked at."
SOFTWARE = (
    "Start it again; if it comes back, try eager mode or another version of the engine, then other hardware."
)
# NVIDIA's "XID Errors" page, by number: what happened, and what to do.
XIDS = {
    13: ("a program made an error on the GPU", SOFTWARE),
    31: ("a program touched GPU memory that is not its own", SOFTWARE),
    43: ("a program on the GPU stopped answering", SOFTWARE),
    45: ("the GPU ended what ran on it after an earlier error", SOFTWARE),
    48: ("its memory has an error that could not be corrected (ECC)", RESET),
    63: ("a part of its memory is worn out and was taken out of use (ECC)", RESET),
    64: ("a part of its memory is worn out and could not be taken out of use (ECC)", RESET),
    74: ("the NVLink to another GPU failed", RESET),
    79: ("it has fallen off the bus", RESET),
    92: ("its memory has many errors that were corrected (ECC)", RESET),
    94: ("its memory has an error that could not be corrected (ECC), contained to this program", RESET),
    95: ("its memory has an error that could not be corrected (ECC)", RESET),
    119: ("its own controller (GSP) stopped answering", RESET),
    120: ("its own controller (GSP) failed", RESET),
}
HARDWARE = frozenset(number for number, (_, advice) in XIDS.items() if advice == RESET)

SIGNALS = {
    4: ("SIGILL", "The engine crashed: the processor does not know an instruction that it uses (SIGILL)."),
    6: ("SIGABRT", "The engine crashed and ended itself (SIGABRT)."),
    7: ("SIGBUS", "The engine crashed on a memory access (SIGBUS); often shared memory (/dev/shm) is full."),
    11: ("SIGSEGV", "The engine crashed on a memory access (SIGSEGV)."),
}


@dataclass(frozen=True)
class Outside:
    """What was seen beside the log, shortly before the end.

    `oom_kills`: how often the kernel ended a process of this machine or container because memory had run out.
    `kernel`: its own lines that name this launch's processes or its GPUs.
    """

    oom_kills: int = 0
    kernel: tuple[str, ...] = ()


NOTHING = Outside()


def during(phase: str) -> str:
    known = BY_SLUG.get(phase)
    return f" while {known.sentence[0].lower()}{known.sentence[1:]}" if known else ""


def by_memory(outside: Outside) -> Diagnosis | None:
    """The kernel's out-of-memory killer struck. Without its word or its count: None."""
    lines = [line for line in outside.kernel if KILLED.search(line)]
    if not lines and outside.oom_kills < 1:
        return None
    times = f"The kernel's count of processes that it ended for want of memory rose by {outside.oom_kills}."
    evidence = lines[-1][:EVIDENCE_LIMIT] if lines else times
    return Diagnosis(
        "killed-for-memory",
        "The kernel ended the engine because the machine's memory ran out.",
        "Choose a smaller model or a smaller KV cache, stop what else uses the memory, or raise the "
        "container's limit.",
        evidence,
        False,
    )


def by_gpu(outside: Outside) -> Diagnosis | None:
    """The driver reported an error of a GPU (Xid); errors of the hardware before those of programs."""
    found = [(line, match) for line in outside.kernel if (match := XID.search(line))]
    if not found:
        return None
    line, match = next((one for one in found if int(one[1]["number"]) in HARDWARE), found[0])
    number = int(match["number"])
    what, advice = XIDS.get(number, ("see NVIDIA's list of Xid errors", SOFTWARE))
    cause = f"The driver reported an error of the GPU at {match['place']}, Xid {number}: {what}."
    code = "gpu-hardware" if number in HARDWARE else "gpu-fault"
    return Diagnosis(code, cause, advice, line[:EVIDENCE_LIMIT], False)


def by_signal(signal: int | None, phase: str) -> Diagnosis | None:
    if signal is None:
        return None
    if signal == 9:
        cause = f"The engine was killed from outside (SIGKILL){during(phase)}; its log does not say by whom."
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
