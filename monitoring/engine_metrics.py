"""What an engine is doing now, from one page after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from monitoring import engine_page
from monitoring.histogram import Histogram, Window

SPAN = 5.0  # seconds over which a rate is taken: one second of it jumps with every batch


@dataclass(frozen=True)
class Gained:
    """What came between two pages; of this the history is made."""

    counts: Mapping[str, float] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineReading:
    """What an engine is doing now; None is "not known"."""

    running: int | None  # requests
    waiting: int | None
    kv_cache_percent: float | None
    prompt_tokens: float | None  # counters since the engine's start
    generation_tokens: float | None
    prompt_rate: float | None  # tokens per second
    generation_rate: float | None
    first_token: float | None  # seconds, median of the last minute's requests
    kv_cache_tokens: int | None = None  # that the cache holds when it is full
    preemptions: float | None = None  # since the engine's start
    prefix_hits_percent: float | None = None  # of the prompt tokens of the last minute; None without any
    finished: Mapping[str, float] = field(default_factory=dict)  # requests since the start, by how they ended
    # Seconds: p50, p95 and p99 of the last minute by kind (`engine_page.HISTOGRAMS`); absent without requests.
    latency: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


class RateMeter:
    """Turns readings of a counter into its rate per second over the last `SPAN` seconds."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, float]] = deque()  # when, value

    def rate(self, value: float | None, at: float) -> float | None:
        """`at` is monotonic seconds. None for the first reading and while the counter is missing.

        A counter that went down began again at zero: then all that it shows has come since.
        """
        if value is None:
            self._past.clear()
            return None
        if self._past and value < self._past[-1][1]:
            last_at = self._past[-1][0]
            self._past.clear()
            self._past.append((last_at, 0.0))
        if not self._past or at > self._past[-1][0]:
            self._past.append((at, value))
        while len(self._past) > 2 and self._past[1][0] <= at - SPAN:
            self._past.popleft()
        (then, before), (now, newest) = self._past[0], self._past[-1]
        return round((newest - before) / (now - then), 1) if now > then else None


class EngineMeter:
    """Makes readings of one engine from its pages, one after another."""

    def __init__(self) -> None:
        self._prompt = RateMeter()
        self._generation = RateMeter()
        self._windows = {name: Window() for name in engine_page.HISTOGRAMS}
        self._hits: deque[tuple[float, float, float]] = deque()  # when, queries, hits
        self._last: engine_page.EnginePage | None = None
        self.gained = Gained()

    def read(self, text: bytes, at: float) -> EngineReading:
        """`at` is monotonic seconds. `gained` is then what came since the page before."""
        page = engine_page.parse(text)
        self.gained = _gained(page, self._last) if self._last else Gained()
        self._last = page
        latency = {
            name: quantiles
            for name, histogram in page.histograms.items()
            if (quantiles := self._windows[name].gained(histogram, at).quantiles())
        }
        count = page.counters.get
        kv_cache = page.kv_cache
        return EngineReading(
            running=_whole(page.gauges.get("running")),
            waiting=_whole(page.gauges.get("waiting")),
            kv_cache_percent=None if kv_cache is None else round(100 * kv_cache, 1),
            prompt_tokens=count("prompt_tokens"),
            generation_tokens=count("generation_tokens"),
            prompt_rate=self._prompt.rate(count("prompt_tokens"), at),
            generation_rate=self._generation.rate(count("generation_tokens"), at),
            first_token=latency["first_token"][0] if "first_token" in latency else None,
            kv_cache_tokens=page.kv_cache_tokens,
            preemptions=count("preemptions"),
            prefix_hits_percent=self._hit_share(count("prefix_queries"), count("prefix_hits"), at),
            finished=page.finished,
            latency=latency,
        )

    def _hit_share(self, queries: float | None, hits: float | None, at: float) -> float | None:
        """Of the last minute's queries."""
        if queries is None or hits is None:
            return None
        if self._hits and queries < self._hits[-1][1]:
            self._hits.clear()
        self._hits.append((at, queries, hits))
        while len(self._hits) > 1 and self._hits[1][0] <= at - 60:
            self._hits.popleft()
        asked = queries - self._hits[0][1]
        return round(100 * (hits - self._hits[0][2]) / asked, 1) if asked > 0 else None


def _gained(page: engine_page.EnginePage, before: engine_page.EnginePage) -> Gained:
    """A counter that went down began again at zero."""
    counts = {}
    now = page.counters | {f"finished_{reason}": value for reason, value in page.finished.items()}
    then = before.counters | {f"finished_{reason}": value for reason, value in before.finished.items()}
    for name, value in now.items():
        known = then.get(name, value)
        grown = value - known if value >= known else value
        if grown:
            counts[name] = grown
    histograms = {}
    for name, histogram in page.histograms.items():
        earlier = before.histograms.get(name, histogram)
        new = histogram if histogram.began_again(earlier) else histogram - earlier
        if new.count:
            histograms[name] = new
    return Gained(counts, histograms)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
