"""What an open page is sent when something changed: those partials of its first load that differ."""

from __future__ import annotations

import html as markup
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from accounts.models import User
from monitoring.cards import SystemCards
from monitoring.sampler import Readings

from . import cards, machine_card, metrics, pages
from .cards import Card
from .context import sidebar_cards
from .models import MANAGE_ENGINES, Instance, Launch

CLOCKS = re.compile(r"(<time\b[^>]*>)[^<]*")  # the page moves these by itself
FIGURES = re.compile(  # what `{% figure %}` writes, a bar's value, and the point of charts
    r'(data-figure="([^"]+)"(?: value="| data-point="|>))([^"<]*)'
)
FIELDS = re.compile(r'name="submission" value="[^"]*"')  # new at each rendering


@dataclass(frozen=True)
class Reader:
    """For whom it is drawn."""

    language: str
    csrf_token: str
    address: str  # where this reader's programs find us, ending in /v1
    user: User | AnonymousUser | None = None

    def may(self, permission: str) -> bool:
        """Reads the database the first time."""
        return self.user is not None and self.user.has_perm(permission)


@dataclass(frozen=True)
class Part:
    """One element of a page. It is sent when its key, or without one its text, differs from the last."""

    id: str
    draw: Callable[[], str]  # is called when the text is needed: with a key, only to be sent
    key: object = None
    inside: str = ""  # the part that holds it, and brings it along

    @cached_property
    def html(self) -> str:
        return self.draw()

    @cached_property
    def mark(self) -> object:
        if self.key is not None:
            return self.key
        return FIELDS.sub("", FIGURES.sub(r"\1", CLOCKS.sub(r"\1", self.html)))

    @property
    def figures(self) -> dict[str, str]:
        """The numbers in it that travel alone when nothing else of it has changed.

        What has a key holds other parts, and these tell of theirs.
        """
        if self.key is not None or "data-figure" not in self.html:
            return {}
        return {name: markup.unescape(value) for _, name, value in FIGURES.findall(self.html)}


class Feed:
    """The pushes of one open page. It remembers what was sent, so a bell that changes nothing is silent."""

    def __init__(self, page: pages.Page, reader: Reader) -> None:
        self.page = page
        self.reader = reader
        self.readings: Readings | None = None
        self._cards: list[Card] = []  # as of the last look at the database
        self.waited = False  # long enough for readings to come
        self._shown: dict[str, str] = {}  # figures
        self._owners: machine_card.Owners = {}  # as of then, too
        self._sent: dict[str, object] = {"instance-log": page.launch, "log-state": (page.launch, False)}

    @property
    def wants_readings(self) -> bool:
        return self.page.kind in ("dashboard", "instance", "launch", "machine")

    def forget(self) -> None:
        """The page may have missed something: send all again, but for the log, which has its own socket."""
        self._sent = {key: self._sent[key] for key in ("instance-log", "log-state")}

    def changed(self) -> list[str]:
        """Look at everything again; the messages with what the page must replace. Reads the database."""
        with translation.override(self.reader.language):
            return self._differing(self._parts())

    def measured(self) -> list[str]:
        """The same for new readings. Reads no database."""
        with translation.override(self.reader.language):
            return self._differing(self._figures())

    def _differing(self, parts: Iterator[Part]) -> list[str]:
        """One message of HTML and one of figures, each where there is something to say."""
        out, fresh = [], set()
        moved: dict[str, str] = {}
        for part in parts:
            known = part.id in self._sent and self._sent[part.id] == part.mark
            self._sent[part.id] = part.mark
            if part.inside in fresh:
                fresh.add(part.id)
            elif not known:
                fresh.add(part.id)
                out.append(part.html)
            figures = part.figures
            if part.id not in fresh:
                moved |= {name: now for name, now in figures.items() if self._shown.get(name) != now}
            self._shown |= figures
        if self.page.span:
            now = str(metrics.point(metrics.span_of(self.page.span)))
            if self._shown.setdefault("charts", now) != now:
                moved["charts"] = self._shown["charts"] = now
        html = ["".join(out)] if out else []
        return html + ([json.dumps(moved, separators=(",", ":"), ensure_ascii=False)] if moved else [])

    def _draw(self, template: str, facts: pages.Facts) -> str:
        reader = {"csrf_token": self.reader.csrf_token, "address": self.reader.address}
        return render_to_string(f"instances/{template}", {**facts, **reader, "oob": True})

    def _part(
        self, name: str, template: str, facts: pages.Facts, key: object = None, inside: str = ""
    ) -> Part:
        return Part(name, partial(self._draw, template, facts), key, inside)

    def _parts(self) -> Iterator[Part]:
        if self.page.kind == "dashboard":
            yield from self._dashboard()
            return
        yield self._sidebar(sidebar_cards())
        if self.page.kind == "instance":
            yield from self._instance()
        if self.page.kind == "launch":
            yield from self._launch()
        if self.page.kind == "machine":
            self._owners = machine_card.owners()
            yield from self._machine()
        if self.page.kind == "models":
            yield from self._models()
        if self.page.kind == "engines":
            yield from self._engines()

    def _sidebar(self, every: list[Card]) -> Part:
        facts = {"sidebar_instances": every, "sidebar_here": self.page.instance}
        return self._part("sidebar-instances", "_sidebar.html", facts)

    # ------------------------------------------------------------ dashboard

    def _dashboard(self) -> Iterator[Part]:
        facts = pages.dashboard(self.page.show, self.readings)
        self._cards = facts["cards"]
        self._owners = machine_card.owners_of(facts["sidebar_instances"])
        yield self._sidebar(facts["sidebar_instances"])
        for name in ("summary", "head-action", "recent"):
            yield self._part(name, f"dashboard.html#{name}", facts)
        shape = (bool(facts["cards_in_all"]), tuple(card.id for card in self._cards))
        yield self._part("instances", "dashboard.html#instances", facts, key=shape)
        if facts["cards_in_all"]:
            yield self._part("instances-head", "dashboard.html#instances-head", facts, inside="instances")
        for card in self._cards:
            yield self._part(card.id, "dashboard.html#card", {"card": card}, card.frame, "instances")
            yield self._body(card)
        yield from self._system()

    def _body(self, card: Card) -> Part:
        return self._part(f"{card.id}-body", "dashboard.html#card-body", {"card": card}, inside=card.id)

    def _system(self) -> Iterator[Part]:
        if self.readings is not None or self.waited:
            yield Part("system", partial(_drawn_system, self.readings, self.reader.language, self._owners))

    def _machine(self) -> Iterator[Part]:
        yield from self._system()
        if self.readings is not None:
            facts = pages.machine(self.readings, self._owners)
            for name in ("cores", "disks", "holders"):
                yield self._part(name, f"machine.html#{name}", facts)

    # ------------------------------------------------------------ an instance

    def _instance(self) -> Iterator[Part]:
        found = Instance.objects.filter(pk=self.page.instance).with_launches()
        if not found:
            return
        facts = pages.instance(found[0], self.page, self.readings)
        card = facts["card"]
        self._cards = [card]
        yield self._part("instance-head", "instance.html#head", facts)
        tab = self.page.tab
        if tab == "overview":
            yield self._part("instance-overview", "instance.html#overview", facts, (card.frame, card.look))
        if tab in ("overview", "metrics"):
            yield from self._numbers(card)
        if tab in ("overview", "logs") and self._sent.get("instance-log") != (launch := _key(card)):
            yield self._part("instance-log", "instance.html#log", pages.log(card.launch, tab), launch)
        if tab in ("overview", "logs") and card.launch:
            yield self._log_state(card.launch)
        if tab == "history":
            yield self._part("instance-history", "instance.html#history", facts)

    def _launch(self) -> Iterator[Part]:
        launch = Launch.objects.with_people().filter(pk=self.page.launch).first()
        if launch is not None:
            facts = pages.launch(launch)
            yield self._part("launch-head", "launch.html#head", facts)
            yield self._part("launch-ending", "launch.html#ending", facts)
            yield self._log_state(launch)

    def _models(self) -> Iterator[Part]:
        facts = pages.downloads()
        yield self._part("downloads", "models.html#downloads", facts)
        ended = tuple((one.job.pk, one.job.state) for one in facts["downloads"])
        if self._sent.get("here") != ended:  # the disk is looked at again only when something came or went
            yield self._part("here", "models.html#here", pages.models(), ended)

    def _engines(self) -> Iterator[Part]:
        facts = pages.engines() | {"may_manage": self.reader.may(MANAGE_ENGINES)}
        yield self._part("installations", "engines.html#installations", facts)
        yield self._part("engines", "engines.html#engines", facts)

    def _log_state(self, launch: Launch) -> Part:
        """The one word of a log's head that changes when its launch ends; the lines have their own socket."""
        facts = {"log_launch": launch, "follows": True, "alone": True}
        return self._part(
            "log-state", "instance.html#log-state", facts, (launch.pk, launch.ended), "instance-log"
        )

    def _numbers(self, card: Card) -> Iterator[Part]:
        if self.page.tab == "metrics" or card.serving:
            yield self._part(
                "instance-figures",
                "instance.html#figures",
                {"card": card, "all_figures": self.page.tab == "metrics"},
                inside="instance-overview",
            )

    # ------------------------------------------------------------ readings

    def _figures(self) -> Iterator[Part]:
        yield from self._system() if self.page.kind == "dashboard" else ()
        yield from self._machine() if self.page.kind == "machine" else ()
        for card in self._cards:
            card.reading = cards.reading_of(card.instance, self.readings)
            if self.page.kind == "dashboard" and card.serving:
                yield self._body(card)
            elif self.page.kind == "instance" and self.page.tab in ("overview", "metrics"):
                yield from self._numbers(card)


_system_row: tuple[object, str] = (None, "")  # what it was drawn of, and how it looks


def _drawn_system(readings: Readings | None, language: str, owners: machine_card.Owners) -> str:
    """Drawn once for all who look at it, for it is the same for everybody."""
    global _system_row
    names = {subject: name for subject, (_, name) in owners.items()}
    system = SystemCards.of(readings, datetime.now(UTC), names=names, silent=readings is None)
    key = (readings and readings.at, bool(system.stale), bool(system.gpu_stale), language, names)
    if readings is None or _system_row[0] != key:
        facts: dict[str, Any] = {"system": system, "machine_url": reverse("machine"), "oob": True}
        _system_row = (key, render_to_string("monitoring/_system.html", facts))
    return _system_row[1]


def _key(card: Card) -> int:
    return card.launch.pk if card.launch else 0
