"""Reads how far a start has come from the engine's own log lines.

vLLM says what it does in words that change, and in an order that differs, between versions. The patterns here
are real lines of 0.6 to 0.33, on CPU and GPU; a line that matches none of them changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LINE_LIMIT = 1_000  # characters looked at; no milestone stands further to the right


@dataclass(frozen=True)
class Phase:
    slug: str
    label: str  # a column's or a bar segment's heading
    sentence: str  # what the engine is doing now


PHASES = (
    Phase("import", "Import", "Importing the engine's libraries"),
    Phase("download", "Download", "Downloading the model"),
    Phase("weights", "Weights", "Loading weights"),
    Phase("compile", "Compile", "Compiling the model for this hardware"),
    Phase("memory", "Memory", "Measuring memory and making the KV cache"),
    Phase("graphs", "Graphs", "Capturing CUDA graphs"),
    Phase("warm_up", "Warm-up", "Warming up"),
)
BY_SLUG = {phase.slug: phase for phase in PHASES}


@dataclass(frozen=True)
class Milestone:
    """A kind of line that tells the phase. `returns`: also when that phase was already left."""

    slug: str
    pattern: re.Pattern[str]
    returns: bool = False


# The first match wins. "import" stands first because its lines quote what a person entered: a model may be
# named like any milestone.
MILESTONES = (
    Milestone(
        "import",
        re.compile(
            r"non-default args: |\bargs: Namespace\(|Resolved architecture|Using max model len"
            r"|Initializing (?:an|a V\d) LLM engine"
        ),
    ),
    Milestone(
        "weights",
        re.compile(
            r"Starting to load model|Loading (?:\w+ )?checkpoint shards|Multi-thread loading"
            r"|Loading safetensors using|Time spent downloading weights|Initializing model took"
            r"|Loading (?:model )?weights took|Model loading took|Loading drafter model|Loading model from"
        ),
    ),
    Milestone(
        "download",
        re.compile(
            r"Fetching \d+ files|Downloading (?:bytes|shards)"
            r"|\b[\w-]{1,200}\.(?:safetensors|bin|pt|gguf|json|model|txt|tiktoken|jinja)"
            r"(?:: [a-z ]+)?:\s+\d+%\|"
        ),
        returns=True,
    ),
    Milestone(
        "compile",
        re.compile(
            r"for vLLM's torch\.compile|Start compiling function|Dynamo bytecode transform time"
            r"|Compiling a graph for|Cache the graph of|Directly load the compiled graph"
            r"|torch\.compile (?:takes|took)|saved AOT compiled function|Warming up model for the compilation"
        ),
    ),
    Milestone(
        "memory",
        re.compile(
            r"Memory profiling (?:results|takes)|Profiling CUDA graph memory|Available KV cache memory"
            r"|KV cache size: |# (?:GPU|CPU|\w+) blocks: |Maximum concurrency for|for KV cache on node"
            r"|memory for KV Cache"
        ),
    ),
    Milestone(
        "graphs",
        re.compile(r"Capturing (?:CUDA graph|cudagraph|the model for CUDA graph)|Graph capturing finished"),
    ),
    Milestone("warm_up", re.compile(r"\[Autotuner\]|JIT kernel warmup starting|Warming up FlashInfer")),
    Milestone(
        "warm_up",
        re.compile(
            r"init engine \(|Supported tasks: |Starting vLLM (?:API )?server|Started server process"
            r"|Application startup complete"
        ),
        returns=True,  # kernels may have been tuned before the graphs were captured
    ),
)

BAR = re.compile(r"(\d+)/(\d+) \[")  # tqdm: "1/2 [00:01<00:01, ..."
PERCENT = re.compile(r"(\d+)%\|")  # tqdm of one file counts in bytes: "37%|███▋ | 1.8G/4.9G ["
FILES = re.compile(r"Fetching (\d+) files")

# What the engine itself says of how long a phase took, in seconds.
TOLD = (
    ("download", re.compile(r"Time spent downloading weights for .*?: ([\d.]+) s")),
    ("weights", re.compile(r"Loading (?:model )?weights took ([\d.]+) s")),
    ("weights", re.compile(r"Model loading took [\d.]+ ?Gi?B(?: memory)? and ([\d.]+) s")),
    ("compile", re.compile(r"torch\.compile (?:takes|took) ([\d.]+) s")),
    ("memory", re.compile(r"Memory profiling (?:results: duration=|takes )([\d.]+) s")),
    ("graphs", re.compile(r"Graph capturing finished in ([\d.]+) s")),
)


def is_milestone(text: str) -> bool:
    """Whether a line tells that the start has got on."""
    return any(milestone.pattern.search(text[:LINE_LIMIT]) for milestone in MILESTONES)


class PhaseReader:
    """Follows one start, line by line; the phase does not fall back when a slower rank repeats a line.

    A phase is entered once. Only a download interrupts: afterwards the phase that it served goes on.
    `progress` is n of m of the current phase, or None where the log does not count.
    `started` holds when each phase was first entered, for lines that came with a time. `told` is how many
    seconds the engine itself says that a phase took, of several ranks the slowest.
    """

    def __init__(self) -> None:
        self.phase = ""
        self.progress: tuple[int, int] | None = None
        self.seen: list[str] = []
        self.started: dict[str, datetime] = {}
        self.told: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._latest: datetime | None = None
        self._files = 0  # how many files the download fetches

    def feed(self, text: str, at: datetime | None = None) -> bool:
        """Take in one cleaned line, and say whether phase or progress changed."""
        text = text[:LINE_LIMIT]
        if not text.strip():
            return False
        self._account(at)
        before = (self.phase, self.progress)
        if not self.phase:
            self._enter("import")
        for milestone in MILESTONES:
            if milestone.pattern.search(text):
                self._reach(milestone, text)
                self._hear(milestone.slug, text)
                break
        return (self.phase, self.progress) != before

    def snapshot(self) -> dict[str, Any]:
        """Where the start is, as JSON. `seconds`: how long each phase took, up to the last line's time."""
        return {
            "phase": self.phase,
            "progress": list(self.progress) if self.progress else None,
            "seen": list(self.seen),
            "seconds": {slug: round(seconds, 3) for slug, seconds in self._spent.items()},
        }

    def _account(self, at: datetime | None) -> None:
        """Give the time since the last line to the phase in which it passed."""
        if at is None:
            return
        if self.phase:
            self.started.setdefault(self.phase, at)
            passed = (at - self._latest).total_seconds() if self._latest else 0.0
            passed = max(passed, 0.0)  # clocks may be set back
            self._spent[self.phase] = self._spent.get(self.phase, 0.0) + passed
        self._latest = at

    def _hear(self, slug: str, text: str) -> None:
        for told, pattern in TOLD:
            if told == slug and (match := pattern.search(text)):
                seconds = float(match[1].rstrip(".") or 0)
                self.told[slug] = max(seconds, self.told.get(slug, 0.0))

    def _reach(self, milestone: Milestone, text: str) -> None:
        resumes = self.phase == "download"
        if milestone.slug != self.phase and (milestone.returns or resumes or milestone.slug not in self.seen):
            self._enter(milestone.slug)
        if milestone.slug == self.phase:
            self._count(text)

    def _enter(self, slug: str) -> None:
        self.phase = slug
        self.progress = None
        if slug not in self.seen:
            self.seen.append(slug)
        if self._latest is not None:
            self.started.setdefault(slug, self._latest)
            self._spent.setdefault(slug, 0.0)

    def _count(self, text: str) -> None:
        if files := FILES.search(text):
            self._files = int(files[1])
        if bar := BAR.search(text):
            self.progress = (int(bar[1]), int(bar[2]))
        elif (
            percent := PERCENT.search(text)
        ) and self._files <= 1:  # several bars at once would only flicker
            self.progress = (int(percent[1]), 100)
