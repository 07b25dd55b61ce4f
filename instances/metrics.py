"""The charts of an instance and of the machine: which subjects are theirs, and what happened on the time axis."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from monitoring import panels
from monitoring.cards import GIB
from monitoring.charts import Chart, Mark, Range, Spark
from monitoring.models import MINUTE
from monitoring.sampler import Readings

from .models import Instance, Launch
from .states import State

Facts = dict[str, Any]
OVERVIEW = "1h"  # what an instance's first tab shows
SHOWN_FIRST = 3  # panels of it
SETTLED = 10  # seconds after which a minute is rolled up
MOST_LAUNCHES = 200  # of a span; a crash loop has more, and its newest are what matters


@dataclass(frozen=True)
class Section:
    title: str
    charts: list[Chart]


def span_of(slug: str) -> Range:
    return panels.RANGES.get(slug) or panels.RANGES[panels.USUAL]


def point(span: Range) -> int:
    """Number of the point that is being measured now; when it changes, the charts are drawn anew."""
    return int(time.time()) // span.step


def of_instance(instance: Instance, span: Range, *, first: bool = False) -> list[Section]:
    """Three queries at most, and one for its launches. `first`: only what its overview shows."""
    launches = _launches_within(instance, span)
    wanted = panels.LAUNCH[:SHOWN_FIRST] if first else panels.LAUNCH
    subjects = [f"launch:{one.pk}" for one in launches]
    return [Section("", panels.charts(wanted, subjects, span, marks=marks(launches)))]


def of_machine(readings: Readings | None, span: Range) -> list[Section]:
    """The host, then each GPU that the driver shows."""
    host = readings.host if readings else None
    tops = {"memory": host.memory_total / GIB} if host else {}
    sections = [Section("", panels.charts(panels.HOST, ["host"], span, tops=tops))]
    for gpu in readings.gpus.gpus if readings and readings.gpus else ():
        tops = {"memory": gpu.memory_total / GIB} if gpu.memory_total else {}
        charts = panels.charts(panels.GPU, [f"gpu:{gpu.uuid}"], span, tops=tops)
        sections.append(
            Section(_("GPU %(index)s, %(name)s") % {"index": gpu.index, "name": gpu.name}, charts)
        )
    return sections


def facts(
    sections: list[Section], span: Range, url: str, *, as_tables: bool = False, lean: bool = False
) -> Facts:
    """What `monitoring/_charts.html` draws."""
    return {
        "sections": sections,
        "time_range": span,
        "ranges": panels.RANGES.values(),
        "as_tables": as_tables,
        "lean": lean,
        "charts_url": url,
        "point": point(span),
    }


def _launches_within(instance: Instance, span: Range) -> list[Launch]:
    """Those that lived within the span, oldest first."""
    since = dt.datetime.fromtimestamp(span.begin(time.time()), dt.UTC)
    rows = instance.launches.filter(Q(ended_at=None) | Q(ended_at__gte=since)).order_by("-pk")
    return list(reversed(rows[:MOST_LAUNCHES]))


def sparks(launches: tuple[int, ...]) -> dict[int, Spark]:
    """Tokens per second of the last hour by launch, each where there is any: one query a minute."""
    return _sparks(launches, (int(time.time()) - SETTLED) // MINUTE) if launches else {}


@lru_cache(maxsize=8)
def _sparks(launches: tuple[int, ...], minute: int) -> dict[int, Spark]:
    drawn = panels.sparks([f"launch:{pk}" for pk in launches], minute * MINUTE)
    return {int(subject.partition(":")[2]): spark for subject, spark in drawn.items()}


def marks(launches: Sequence[Launch]) -> list[Mark]:
    """Starts, stops and crashes, as their labels say."""
    found = []
    for launch in launches:
        found.append(Mark(launch.created.timestamp(), _("Launch"), "launch"))
        if launch.ended_at:
            crashed = launch.state == State.ERROR
            label = launch.error or _("Failed") if crashed else _("Stopped")
            found.append(Mark(launch.ended_at.timestamp(), label, "crash" if crashed else "stop"))
    return found
