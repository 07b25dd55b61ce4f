"""The few figures of an engine that pages show, from its Prometheus page.

Names differ between versions of vLLM: each figure has a list of names, and one that is missing is None.
"""

import math
import re
from collections import deque
from dataclasses import dataclass

ALIASES = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_cache": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),  # the latter until 0.9
    "prompt_tokens": ("vllm:prompt_tokens_total",),
    "generation_tokens": ("vllm:generation_tokens_total",),
    "first_token": ("vllm:time_to_first_token_seconds_bucket",),
}
_FIGURES = {name: figure for figure, names in ALIASES.items() for name in names}
_LE = re.compile(r'[{,]le="([^"]+)"')

Buckets = dict[float, float]  # upper edge in seconds -> requests at or below it


@dataclass(frozen=True)
class EngineMetrics:
    """One page, summed over its engines (data parallel); the cache is that of the fullest engine."""

    running: int | None  # requests
    waiting: int | None
    kv_cache_percent: float | None
    prompt_tokens: float | None  # counters since the engine's start
    generation_tokens: float | None
    first_token: Buckets


@dataclass(frozen=True)
class EngineReading:
    """What an engine is doing now; None is "not known"."""

    running: int | None
    waiting: int | None
    kv_cache_percent: float | None
    prompt_tokens: float | None  # counters since the engine's start
    generation_tokens: float | None
    prompt_rate: float | None  # tokens per second since the reading before
    generation_rate: float | None
    first_token: float | None  # seconds, median of the last minute's requests


def parse(page: str) -> EngineMetrics:
    """Never fails: a line that is not as expected is left out."""
    sums: dict[str, float] = {}
    fullest: float | None = None
    buckets: Buckets = {}
    for line in page.splitlines():
        if not line.startswith("vllm:"):
            continue
        end = line.find("{")
        figure = _FIGURES.get(line[:end] if end > 0 else line.partition(" ")[0])
        value = _number(line) if figure else None
        if figure is None or value is None:
            continue
        if figure == "kv_cache":
            fullest = max(value, fullest or 0.0)
        elif figure == "first_token":
            edge = _edge(line)
            if edge is not None:
                buckets[edge] = buckets.get(edge, 0.0) + value
        else:
            sums[figure] = sums.get(figure, 0.0) + value
    return EngineMetrics(
        running=_count(sums.get("running")),
        waiting=_count(sums.get("waiting")),
        kv_cache_percent=None if fullest is None else round(100 * fullest, 1),
        prompt_tokens=sums.get("prompt_tokens"),
        generation_tokens=sums.get("generation_tokens"),
        first_token=buckets,
    )


class RateMeter:
    """Turns readings of a counter into its rate per second."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None  # value, when

    def rate(self, value: float | None, at: float) -> float | None:
        """`at` is monotonic seconds. None for the first reading and while the counter is missing.

        A counter that went down began again at zero: then all that it shows has come since.
        """
        if value is None:
            self._last = None
            return None
        last, self._last = self._last, (value, at)
        if last is None or at <= last[1]:
            return None
        grown = value - last[0] if value >= last[0] else value
        return round(grown / (at - last[1]), 1)


class MedianMeter:
    """Median of what a cumulative histogram gained within the last `window` seconds."""

    def __init__(self, window: float = 60.0) -> None:
        self._window = window
        self._past: deque[tuple[float, Buckets]] = deque()

    def median(self, buckets: Buckets, at: float) -> float | None:
        """`at` is monotonic seconds. None when nothing came within the window."""
        if self._past and any(buckets.get(le, 0.0) < count for le, count in self._past[-1][1].items()):
            self._past.clear()  # the engine counts from zero again
        self._past.append((at, buckets))
        # The newest one that is a whole window old is what the rest is compared with.
        while len(self._past) > 1 and self._past[1][0] <= at - self._window:
            self._past.popleft()
        before = self._past[0][1]
        return _median({le: count - before.get(le, 0.0) for le, count in buckets.items()})


class EngineMeter:
    """Makes readings of one engine from its pages, one after another."""

    def __init__(self) -> None:
        self._prompt = RateMeter()
        self._generation = RateMeter()
        self._first_token = MedianMeter()

    def read(self, page: str, at: float) -> EngineReading:
        """`at` is monotonic seconds."""
        metrics = parse(page)
        return EngineReading(
            running=metrics.running,
            waiting=metrics.waiting,
            kv_cache_percent=metrics.kv_cache_percent,
            prompt_tokens=metrics.prompt_tokens,
            generation_tokens=metrics.generation_tokens,
            prompt_rate=self._prompt.rate(metrics.prompt_tokens, at),
            generation_rate=self._generation.rate(metrics.generation_tokens, at),
            first_token=self._first_token.median(metrics.first_token, at),
        )


def _number(line: str) -> float | None:
    """The value of a line `name{labels} value [time]`; labels may hold spaces."""
    fields = line.rpartition("}")[2].split() if "}" in line else line.split()[1:]
    try:
        value = float(fields[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _edge(line: str) -> float | None:
    """The upper edge of a bucket's line, endless for the last one."""
    label = _LE.search(line)
    try:
        return float(label[1]) if label else None
    except ValueError:
        return None


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)


def _median(buckets: Buckets) -> float | None:
    """By straight lines between the edges; beyond the last finite edge, that edge."""
    edges = sorted(buckets)
    if not edges or buckets[edges[-1]] <= 0:
        return None
    half = buckets[edges[-1]] / 2
    low, below = 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= half:
            if math.isinf(edge):
                return low
            return low + (edge - low) * (half - below) / (buckets[edge] - below)
        low, below = edge, buckets[edge]
    return low
