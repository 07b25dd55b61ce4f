"""What an instance's process tree and its engine do now, as text. What is not known is a dash."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as noop

from monitoring.cards import GIB, UNKNOWN, amount
from monitoring.engine_metrics import EngineReading
from monitoring.processes import Usage
from monitoring.sampler import TargetReading

LATENCIES = (
    ("first_token", noop("Time to first token")),
    ("output_token", noop("Time per output token")),
    ("whole", noop("Whole answer")),
    ("queue", noop("In the queue")),
)
ENDINGS = (
    ("stop", noop("complete")),
    ("length", noop("cut at the limit")),
    ("abort", noop("left by the client")),
    ("error", noop("failed")),
)


@dataclass(frozen=True)
class Latency:
    """p50, p95 and p99 in milliseconds, as text."""

    slug: str
    title: str
    values: tuple[str, ...]

    @property
    def figures(self) -> list[tuple[str, str]]:
        return [
            (f"{self.slug}-{name}", value)
            for name, value in zip(("p50", "p95", "p99"), self.values, strict=True)
        ]


class Figures:
    """Made anew for each reading; `prefix` tells its figures from those of others on the same page."""

    def __init__(self, reading: TargetReading | None, prefix: str) -> None:
        self.reading = reading
        self.prefix = prefix

    @property
    def ids(self) -> dict[str, str]:
        """Names of its figures on a page that has those of others too."""
        names = ("tokens", "unit", "requests", "first_token", "cache", "memory", "gpu_memory")
        return {name: f"{self.prefix}-{name}" for name in names}

    @property
    def _engine(self) -> EngineReading | None:
        return self.reading.engine if self.reading else None

    @property
    def _usage(self) -> Usage | None:
        return self.reading.usage if self.reading else None

    @property
    def tokens(self) -> str:
        rate = self._engine.generation_rate if self._engine else None
        if rate == 0 and self.idle:
            return _("Idle")
        return UNKNOWN if rate is None else amount(rate)

    @property
    def tokens_unit(self) -> str:
        return "" if self.tokens == _("Idle") else _("tokens/s")

    @property
    def prompt_tokens(self) -> str:
        rate = self._engine.prompt_rate if self._engine else None
        return UNKNOWN if rate is None else amount(rate)

    @property
    def requests(self) -> str:
        return _whole(self._engine.running if self._engine else None)

    @property
    def waiting(self) -> str:
        return _whole(self._engine.waiting if self._engine else None)

    @property
    def idle(self) -> bool:
        """Nothing is to be done, by the engine's own counters."""
        engine = self._engine
        return engine is not None and not engine.running and not engine.waiting

    @property
    def requests_foot(self) -> str:
        return _("idle") if self.idle else _("%(n)s waiting") % {"n": self.waiting}

    @property
    def first_token(self) -> str:
        seconds = self._engine.first_token if self._engine else None
        return UNKNOWN if seconds is None else milliseconds(seconds)

    @property
    def latencies(self) -> list[Latency]:
        """Of the last minute's requests."""
        known = self._engine.latency if self._engine else {}
        return [
            Latency(
                slug,
                _(title),
                tuple(milliseconds(one) for one in known[slug]) if slug in known else (UNKNOWN,) * 3,
            )
            for slug, title in LATENCIES
        ]

    @property
    def cache_foot(self) -> str:
        """`328 of 1,048,576 tokens`."""
        engine = self._engine
        if engine is None or engine.kv_cache_tokens is None or engine.kv_cache_percent is None:
            return _("in use")
        used = round(engine.kv_cache_percent * engine.kv_cache_tokens / 100)
        return _("%(used)s of %(total)s tokens") % {
            "used": f"{used:,}",
            "total": f"{engine.kv_cache_tokens:,}",
        }

    @property
    def prefix_hits(self) -> str:
        """Percent of the last minute's prompt tokens that were in the cache already."""
        return _whole(self._engine.prefix_hits_percent if self._engine else None)

    @property
    def preemptions(self) -> str:
        return _whole(self._engine.preemptions if self._engine else None)

    @property
    def endings(self) -> list[tuple[str, str, str]]:
        """How many requests ended how since the launch: a name for the figure, the words, the number."""
        known = self._engine.finished if self._engine else {}
        return [(f"ended-{slug}", _(words), _whole(known.get(slug))) for slug, words in ENDINGS]

    @property
    def cache(self) -> str:
        return _whole(self._engine.kv_cache_percent if self._engine else None)

    @property
    def cpu(self) -> str:
        return _whole(self._usage.cpu_percent if self._usage else None)

    @property
    def memory(self) -> str:
        return UNKNOWN if self._usage is None else amount(self._usage.memory / GIB)

    @property
    def gpu_memory(self) -> str:
        """Empty where it holds none, or where the driver does not tell."""
        held = self.reading.gpu_memory if self.reading else None
        return "" if held is None else amount(held / GIB)

    @property
    def processes(self) -> str:
        return _whole(self._usage.processes if self._usage else None)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}" if seconds < 0.01 else f"{seconds * 1000:,.0f}"


def _whole(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:,.0f}"
