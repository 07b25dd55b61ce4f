"""What each page shows, for its first load and for every later push: the same facts for the same partials."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import QueryDict
from django.urls import reverse

from monitoring.cards import SystemCards
from monitoring.panels import RANGES
from monitoring.sampler import Readings

from . import cards, engine_rows, fit_history, history, log_card, machine_card, recent, shelf
from .log_card import Ask
from .machine_card import Owners
from .models import DesiredState, Instance, Launch
from .query import number_in

KINDS = (
    "dashboard",
    "instance",
    "launch",
    "models",
    "engines",
    "machine",
)  # pages of which more than the sidebar lives
TABS = ("overview", "logs", "metrics", "history", "configuration")
Facts = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Which page a live socket feeds; travels in the socket's address."""

    kind: str = "other"  # one of KINDS, or other
    show: str = "all"  # of the dashboard
    instance: int = 0
    tab: str = "overview"
    span: str = ""  # of its charts, a key of RANGES; empty where it has none
    launch: int = field(default=0, compare=False)  # whose log the page had when it was drawn

    @classmethod
    def from_query(cls, text: str) -> Page:
        """Whatever is not understood is as if it were absent."""
        query = QueryDict(text)
        show, tab = query.get("show", ""), query.get("tab", "")
        kind = query.get("page", "")
        return cls(
            kind=kind if kind in KINDS else "other",
            show=show if show in cards.SHOW else "all",
            instance=number_in(query.get("instance")),
            tab=tab if tab in TABS else "overview",
            span=query.get("span", "") if query.get("span") in RANGES else "",
            launch=number_in(query.get("launch")),
        )

    @property
    def query(self) -> str:
        given = {
            "page": self.kind,
            "show": self.show,
            "instance": self.instance,
            "tab": self.tab,
            "span": self.span,
        }
        return urlencode({**given, "launch": self.launch})


def system(readings: Readings | None, owners: Owners | None = None) -> Facts:
    names = {subject: name for subject, (_, name) in (owners or {}).items()}
    return {
        "system": SystemCards.of(readings, datetime.now(UTC), names=names),
        "machine_url": reverse("machine"),
    }


def machine(readings: Readings | None, owners: Owners) -> Facts:
    """What the machine's own page shows beyond the row."""
    gpus = readings.gpus if readings else None
    return {
        "cores": readings.host.cores if readings and readings.host else (),
        "places": machine_card.places(readings.host) if readings and readings.host else [],
        "holders": machine_card.holders(readings, owners) if readings else [],
        "gpus_here": bool(gpus and gpus.gpus),
    }


def dashboard(show: str, readings: Readings | None) -> Facts:
    """Three queries for any number of instances, one more while something starts, and one a minute for sparks."""
    instances = Instance.objects.visible().with_launches()
    every = cards.cards_of(instances, readings)
    cards.with_sparks(every)
    return {
        "show": show,
        "cards": cards.shown(every, show),
        "cards_in_all": len(every),
        "summary": cards.summary(every),
        "counts": {"live": len(cards.shown(every, "live")), "needs": len(cards.shown(every, "needs-you"))},
        "slots": {
            "used": sum(one.desired_state == DesiredState.RUNNING for one in instances),
            "all": settings.LLMOPS_MAX_INSTANCES,
        },
        "sidebar_instances": every,
        "recent": recent.lines(),
        "submission": uuid.uuid4(),  # of the button that deploys the demo
    }


def instance(wanted: Instance, page: Page, readings: Readings | None) -> Facts:
    """The instance as its own page shows it."""
    card = cards.cards_of([wanted], readings)[0]
    facts: Facts = {"card": card, "instance": wanted, "launch": card.launch, "tab": page.tab}
    facts["launch_number"] = number_of(card.launch) if card.launch else 0
    if page.tab == "history":
        facts["rows"] = rows_of(wanted)
    return facts


def launch(wanted: Launch) -> Facts:
    """A launch as its own page shows it, whether or not it is the last one of its instance."""
    wanted.instance.last_launch = wanted
    facts: Facts = {"card": cards.Card(wanted.instance), "launch": wanted, "launch_number": number_of(wanted)}
    return facts | {"comparison": fit_history.compared(wanted)}


def downloads() -> Facts:
    return {"downloads": shelf.downloads()}


def models() -> Facts:
    """What is on this machine, and what is on its way."""
    found = shelf.here()
    return downloads() | {
        "here": found,
        "size": sum(one.size for one in found),
        "free": shelf.free_space(),
        "smollm2": shelf.smollm2_path(),
        "has_smollm2": any(one.where == "package" and not one.missing for one in found),
        "roots": settings.LLMOPS_MODEL_ROOTS,
    }


def engines() -> Facts:
    """What stands side by side, and what is being installed; half an engine is told of by its installation only."""
    rows = engine_rows.rows()
    installations = engine_rows.installations(rows)
    told = {one.row.found.slug for one in installations if one.row}
    shown = [row for row in rows if row.found.engine or row.found.slug not in told]
    return {"engines": shown, "installations": installations}


def log(launch: Launch | None, tab: str = "", ask: Ask | None = None) -> Facts:
    """The card of a launch's log, on a tab of its instance or, without one, on its own page."""
    return {"tall": tab != "overview", **log_card.facts(launch, ask or Ask(), own=not tab)}


def number_of(launch: Launch) -> int:
    """Its place among the launches of its instance, from 1: what people call it."""
    return Launch.objects.filter(instance_id=launch.instance_id, pk__lte=launch.pk).count()


def rows_of(instance: Instance) -> list[history.Row]:
    """Its newest launches: one query."""
    return history.rows(history.with_first(Launch.objects.with_people().filter(instance=instance))[:100])
