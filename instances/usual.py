"""How long starts usually take here, by phase, from the launches before; and so, how long this one still will."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from statistics import median

from .models import Launch

COUNTED = 200  # launches looked at, the newest
WORTH_TELLING = dt.timedelta(seconds=1)
OF_ONE_MODEL = 7  # of them for each model: what took long a year ago says little


@dataclass(frozen=True)
class Usual:
    """Medians of one model's earlier starts."""

    total: dt.timedelta
    phases: dict[str, float]  # seconds by slug

    def left(self, launch: Launch, now: dt.datetime) -> dt.timedelta:
        """Until it is ready: the rest of the phase that it is in, and all phases that it has not reached."""
        seconds: dict[str, float] = launch.phases.get("seconds", {})
        seen = set(launch.phases.get("seen", ()))
        if not launch.phase or launch.started_at is None:
            return self.total
        before = sum(spent for slug, spent in seconds.items() if slug != launch.phase)
        in_this = (now - launch.started_at).total_seconds() - before
        rest = max(self.phases.get(launch.phase, 0.0) - in_this, 0.0)
        ahead = sum(spent for slug, spent in self.phases.items() if slug not in seen)
        return dt.timedelta(seconds=rest + ahead)


def starts_of(models: Collection[str]) -> dict[str, Usual]:
    """By model, of those that were ready here before: one query."""
    if not models:
        return {}
    ready = Launch.objects.here().filter(ready_at__isnull=False, started_at__isnull=False).order_by("-pk")
    rows = ready.filter(revision__config__model__in=models).values_list(
        "revision__config__model", "started_at", "ready_at", "phases"
    )[:COUNTED]
    found: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for model, started_at, ready_at, phases in rows:
        if ready_at is not None and started_at is not None:
            seconds = (ready_at - started_at).total_seconds()
            found.setdefault(model, []).append((seconds, (phases or {}).get("seconds", {})))
    usual = {model: _of(starts[:OF_ONE_MODEL]) for model, starts in found.items()}
    return {model: one for model, one in usual.items() if one.total >= WORTH_TELLING}


def _of(starts: list[tuple[float, dict[str, float]]]) -> Usual:
    slugs = {slug for _, phases in starts for slug in phases}
    return Usual(
        total=dt.timedelta(seconds=median(seconds for seconds, _ in starts)),
        phases={slug: median(phases.get(slug, 0.0) for _, phases in starts) for slug in slugs},
    )
