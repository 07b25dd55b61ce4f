"""Which charts there are of a machine, a GPU and an engine, and how they are read from the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

from monitoring import folds, history
from monitoring.cards import GB, GIB, amount
from monitoring.charts import Chart, Line, Mark, Range, Spark, draw, spark
from monitoring.folds import Fold
from monitoring.models import HOUR, MINUTE

RANGES = {
    one.slug: one
    for one in (
        Range("15m", noop("15 min"), 10, 90),
        Range("1h", noop("1 h"), 30, 120),
        Range("24h", noop("24 h"), 600, 144),
        Range("7d", noop("7 d"), 3600, 168),
        Range("30d", noop("30 d"), 4 * 3600, 180),
    )
}
USUAL = "15m"
PERCENT = 100.0

Value = Callable[[Fold], float | None]


@dataclass(frozen=True)
class Panel:
    """One chart. `values` give one line each, in the panel's unit; two at most."""

    slug: str
    title: str
    unit: str
    names: tuple[str, ...]
    values: tuple[Value, ...]
    metrics: frozenset[str]
    top: float | None = None
    always: bool = True  # drawn also where there is nothing but zeros
    larger: tuple[float, str] | None = None  # from this value on it is shown divided by 1,000 in that unit


def _gauge(metric: str, scale: float = 1.0) -> Value:
    def value(one: Fold) -> float | None:
        found = folds.mean(one.get(metric))
        return None if found is None else found / scale

    return value


def _rate(*metrics: str, per: float = 1.0) -> Value:
    """Per second, or per so many seconds; None where its engine was not read at all."""

    def value(one: Fold) -> float | None:
        if "running" not in one or not one["s"]:
            return None
        came: float = sum(one.get(metric, 0) for metric in metrics)
        return per * came / float(one["s"])

    return value


def _quantile(metric: str, share: float) -> Value:
    """Milliseconds."""

    def value(one: Fold) -> float | None:
        found = folds.quantiles(one.get(metric), (share,))
        return 1000 * found[0] if found else None

    return value


def _plain(slug: str, title: str, unit: str, scale: float = 1.0, **more: object) -> Panel:
    return Panel(slug, title, unit, ("",), (_gauge(slug, scale),), frozenset({slug}), **more)  # type: ignore[arg-type]


def _latency(metric: str, title: str) -> Panel:
    return Panel(
        metric,
        title,
        "ms",
        ("p50", "p95"),
        (_quantile(metric, 0.5), _quantile(metric, 0.95)),
        frozenset({metric}),
        larger=(10_000, "s"),
    )


def _tokens(metric: str, title: str) -> Panel:
    return Panel(metric, title, noop("tokens/s"), ("",), (_rate(metric),), frozenset({metric, "running"}))


WELL = ("finished_stop", "finished_length")
ILL = ("finished_abort", "finished_error", "finished_repetition")
LAUNCH = (
    _tokens("generation_tokens", noop("Answering")),
    _latency("first_token", noop("Time to first token")),
    _plain("kv_cache", noop("KV cache in use"), "%", top=PERCENT),
    _tokens("prompt_tokens", noop("Reading prompts")),
    _latency("output_token", noop("Time per output token")),
    Panel(
        "requests",
        noop("Requests"),
        "",
        (noop("running"), noop("waiting")),
        (_gauge("running"), _gauge("waiting")),
        frozenset({"running", "waiting"}),
    ),
    _latency("whole", noop("Whole answer")),
    _latency("queue", noop("Time in the queue")),
    Panel(
        "ended",
        noop("Requests that ended"),
        noop("/min"),
        (noop("well"), noop("not well")),
        (_rate(*WELL, per=60), _rate(*ILL, per=60)),
        frozenset({*WELL, *ILL, "running"}),
    ),
    _plain("cpu", noop("CPU, 100 is one thread"), "%"),
    _plain("memory", noop("Memory"), "GiB", GIB),
    _plain("gpu_memory", noop("GPU memory"), "GiB", GIB, always=False),
)
HOST = (
    _plain("cpu", noop("CPU"), "%", top=PERCENT),
    _plain("memory", noop("Memory"), "GiB", GIB),
    _plain("disk_free", noop("Disk, free"), "GB", GB),
    _plain("load", noop("Load"), ""),
    _plain("swap", noop("Swap"), "GiB", GIB, always=False),
)
GPU = (
    _plain("busy", noop("Busy"), "%", top=PERCENT),
    _plain("memory", noop("Memory"), "GiB", GIB),
    _plain("temperature", noop("Temperature"), "°C"),
    _plain("power", noop("Power"), "W"),
)


def charts(
    panels: Sequence[Panel],
    subjects: Iterable[str],
    span: Range,
    *,
    marks: Sequence[Mark] = (),
    tops: dict[str, float] | None = None,
    now: float | None = None,
    prefix: str = "",
) -> list[Chart]:
    """All panels from one look at the history. Several subjects are one line: launches that follow one another.

    `tops` are the upper edges by panel, where the machine gives them.
    """
    begin = span.begin(time.time() if now is None else now)
    wanted = frozenset().union(*(panel.metrics for panel in panels))
    points = history.read(subjects, begin, begin + span.seconds, span.step, wanted)
    folded = [
        folds.fold(points[at].values()) if at in points else None
        for at in range(begin, begin + span.seconds, span.step)
    ]
    drawn = (_drawn(one, folded, begin, span, marks, (tops or {}).get(one.slug), prefix) for one in panels)
    return [chart for panel, chart in zip(panels, drawn, strict=True) if panel.always or not chart.flat]


def sparks(subjects: Iterable[str], end: int) -> dict[str, Spark]:
    """Tokens per second of the hour before `end`, minute by minute, of those that have any."""
    begin = end - HOUR
    panel = LAUNCH[0]
    points = history.read(subjects, begin, end, MINUTE, panel.metrics)
    values: dict[str, list[float | None]] = {}
    for number, at in enumerate(range(begin, end, MINUTE)):
        for subject, one in points.get(at, {}).items():
            values.setdefault(subject, [None] * (HOUR // MINUTE))[number] = panel.values[0](one)
    return {subject: drawn for subject, line in values.items() if (drawn := spark(line))}


def _drawn(
    panel: Panel,
    folded: Sequence[Fold | None],
    begin: int,
    span: Range,
    marks: Sequence[Mark],
    top: float | None,
    prefix: str,
) -> Chart:
    lines = [[None if one is None else value(one) for one in folded] for value in panel.values]
    unit = panel.unit
    if (
        panel.larger
        and max((one for line in lines for one in line if one is not None), default=0) >= panel.larger[0]
    ):
        unit = panel.larger[1]
        lines = [[None if one is None else one / 1000 for one in line] for line in lines]
    return draw(
        prefix + panel.slug,
        gettext(panel.title),
        gettext(unit) if unit else "",
        [
            Line(gettext(name) if name else "", values)
            for name, values in zip(panel.names, lines, strict=True)
        ],
        begin=begin,
        step=span.step,
        marks=marks,
        top=top or panel.top,
        text=amount,
    )
