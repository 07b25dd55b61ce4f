"""The history page: which launches a person asked to see, and the figures of the last seven days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from accounts.models import User

from . import cards
from .models import Instance, Launch
from .query import number_in
from .states import LIVE, State

WEEK = dt.timedelta(days=7)
LONGEST_SEARCH = 100  # characters
ENDINGS = {"live": LIVE, "stopped": {State.STOPPED}, "failed": {State.ERROR}}


@dataclass(frozen=True)
class Wanted:
    """The filters of the page; what is not understood filters nothing."""

    instance: int = 0
    person: int = 0
    ending: str = ""
    search: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> Wanted:
        ending = query.get("ending", "")
        return cls(
            instance=number_in(query.get("instance")),
            person=number_in(query.get("person")),
            ending=ending if ending in ENDINGS else "",
            search=query.get("q", "").strip()[:LONGEST_SEARCH],
        )

    @property
    def filters(self) -> bool:
        return self != Wanted()

    def launches(self) -> QuerySet[Launch]:
        found = Launch.objects.with_people()
        if self.instance:
            found = found.filter(instance_id=self.instance)
        if self.person:
            found = found.filter(asked_by_id=self.person)
        if self.ending:
            found = found.filter(state__in=sorted(ENDINGS[self.ending]))
        if self.search:
            found = found.filter(
                Q(instance__name__icontains=self.search)
                | Q(asked_by__username__icontains=self.search)
                | Q(error__icontains=self.search)
            )
        return with_first(found)


def with_first(launches: QuerySet[Launch]) -> QuerySet[Launch]:
    """Each with `earlier`: whether its instance was launched before."""
    before = Launch.objects.filter(instance_id=OuterRef("instance_id"), pk__lt=OuterRef("pk"))
    return launches.annotate(earlier=Exists(before))


@dataclass(frozen=True)
class Row:
    launch: Launch
    ending: str
    what: str


def rows(launches: Iterable[Launch]) -> list[Row]:
    """Of launches that came through `with_first`."""
    return [
        Row(one, cards.ending_of(one), cards.what_was_asked(one, first=not getattr(one, "earlier", True)))
        for one in launches
    ]


@dataclass(frozen=True)
class Figures:
    """Of the launches that began in the last seven days."""

    launches: int
    by_people: int
    by_restarts: int
    failed: int
    ready: int
    median_ready: dt.timedelta | None
    longest: dt.timedelta | None
    longest_name: str


def figures() -> Figures:
    """One query."""
    now = timezone.now()
    week = Launch.objects.filter(created__gte=now - WEEK).order_by("-pk")
    found = list(
        week.values_list("created", "ready_at", "ended_at", "state", "attempt", "instance__name")[:10_000]
    )
    to_ready = [(ready - created).total_seconds() for created, ready, *_ in found if ready]
    ran = [((ended or now) - created, name) for created, _, ended, _, _, name in found]
    longest, name = max(ran, default=(None, ""))
    restarts = sum(bool(attempt) for *_, attempt, _ in found)
    return Figures(
        launches=len(found),
        by_people=len(found) - restarts,
        by_restarts=restarts,
        failed=sum(state == State.ERROR for _, _, _, state, _, _ in found),
        ready=len(to_ready),
        median_ready=dt.timedelta(seconds=median(to_ready)) if to_ready else None,
        longest=longest,
        longest_name=name,
    )


def choices() -> dict[str, list[tuple[int, str]]]:
    """The instances and people that any launch tells of."""
    instances = Instance.objects.filter(launches__isnull=False).distinct().order_by("name", "pk")
    asked = Launch.objects.filter(asked_by__isnull=False).values("asked_by")
    people = User.objects.filter(pk__in=asked).order_by("username")
    return {
        "instances": list(instances.values_list("pk", "name")),
        "people": [(person.pk, person.shown_name) for person in people],
    }
