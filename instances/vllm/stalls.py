"""A start that does not get on: what it was doing, and what usually holds it there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instances.vllm.outside import during
from instances.vllm.verdict import EVIDENCE_LIMIT, Diagnosis

HINTS = {
    "": "Look at its last lines, and at what else this machine does.",
    "import": "A slow disk, or a busy machine, makes the import of the libraries slow: start it again.",
    "download": "Check the network and proxy, or download the model beforehand.",
    "weights": "A slow disk or network drive (NFS) is the usual reason: copy the model to a local disk.",
    "compile": "Give it more time, or use eager mode (enforce-eager), which compiles nothing.",
    "memory": "Start it again; with several GPUs, they may be waiting for each other.",
    "graphs": "Use eager mode (enforce-eager), which makes no graphs.",
    "warm_up": "Start it again; if it comes back, use eager mode (enforce-eager).",
}
EAGER = frozenset({"compile", "graphs", "warm_up"})
SEVERAL_GPUS = (
    "Often the GPUs cannot reach each other: set NCCL_P2P_DISABLE=1 in the environment and start it again."
)
WAITING = re.compile(
    r"No available (?:shared memory broadcast )?block found in \d+ seconds?"
    r"|NCCL|world_size=(?:[2-9]|\d\d)|Worker_TP[1-9]|VllmWorker(?:Process)? (?:rank=[1-9]|pid)"
)
RECENT = 400  # lines looked at for what speaks of several GPUs
TALKING = frozenset({"", "import", "memory", "graphs", "warm_up"})  # where the processes wait for each other


def stalled(lines: Sequence[str], *, phase: str, seconds: float) -> Diagnosis:
    """Of a start that was given up after `seconds` without progress. The evidence is the last thing it said."""
    last = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].strip()), None)
    waits = phase in TALKING and any(WAITING.search(line[:1000]) for line in lines[-RECENT:])
    return Diagnosis(
        "stalled",
        f"It made no progress for {_span(seconds)}{during(phase)}.",
        SEVERAL_GPUS if waits else HINTS.get(phase, HINTS[""]),
        lines[last].rstrip("\r\n")[:EVIDENCE_LIMIT] if last is not None else "",
        False,
        {"env": {"NCCL_P2P_DISABLE": "1"}}
        if waits
        else {"args": {"enforce-eager": True}}
        if phase in EAGER
        else None,
        last,
    )


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} seconds" if round(seconds) != 1 else "1 second"
    minutes = int(seconds // 60)
    return f"{minutes} minutes" if minutes != 1 else "1 minute"
