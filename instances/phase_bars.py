"""The phases of a start, as the segments of a bar."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from . import durations
from .models import Launch
from .states import State
from .vllm.phases import PHASES

MOVING = frozenset({State.INITIALIZING, State.STARTING})  # the states of a start that goes on


@dataclass(frozen=True)
class PhaseBar:
    """One segment of a start. `status`: done, now, fail, or "" for one that was not seen."""

    slug: str
    label: str
    status: str
    value: int | None
    max: int
    note: str


def phases_of(launch: Launch) -> list[PhaseBar]:
    """Seven segments in fixed order; each lights when its phase was seen, wherever it stood."""
    seen = set(launch.phases.get("seen", ()))
    seconds: Mapping[str, float] = launch.phases.get("seconds", {})
    if "fetched" in launch.phases:  # the console fetched its model, before the engine was there
        seen.add("download")
        seconds = {**seconds, "download": launch.phases["fetched"] + seconds.get("download", 0.0)}
    bars = []
    for phase in PHASES:
        status = _status(launch, phase.slug, seen)
        value, most = launch.progress if status == "now" and launch.progress else (None, 100)
        bars.append(
            PhaseBar(
                phase.slug, _(phase.label), status, value, most, _note(launch, phase.slug, status, seconds)
            )
        )
    return bars


def _status(launch: Launch, slug: str, seen: Collection[str]) -> str:
    if launch.ready_at is None and slug == launch.phase:
        if launch.state in MOVING:
            return "now"
        if launch.state == State.ERROR:
            return "fail"
    return "done" if slug in seen else ""


def _note(launch: Launch, slug: str, status: str, seconds: Mapping[str, float]) -> str:
    if status == "fail":
        return _("failed")
    if status == "done" and slug in seconds:
        return durations.precise(seconds[slug])
    return _("not needed") if status == "" and launch.ready_at else ""
