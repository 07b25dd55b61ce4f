"""The history of all readings: written once a tick, rolled up to minutes, tens of minutes and hours, pruned by age.

The database is never larger than its ages allow: for each subject that is measured all the time that is 2,160 rows of
ticks, 1,440 of minutes, 288 of ten minutes, and 24 a day of hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import groupby, pairwise
from operator import itemgetter

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Min

from monitoring import folds
from monitoring.folds import Fold
from monitoring.models import HOUR, MINUTE, STEPS, TEN_MINUTES, TICK, Sample, Snapshot, Subject
from monitoring.sampler import Readings

# Seconds; hours are kept for settings.HISTORY_DAYS.
KEPT = {TICK: 3 * HOUR, MINUTE: 24 * HOUR, TEN_MINUTES: 48 * HOUR}
MOST_WAITING = 60  # ticks that wait for a database that is away; then the oldest make a gap
LONGEST = 5.0  # seconds that one reading stands for; after a longer silence there is a gap


Tick = tuple[int, dict[str, Fold]]  # when it began, and the folds by subject


class Recorder:
    """Takes each second's readings, and makes a tick of them when its time is over. Touches no database.

    Ticks that could not be written are given back, and wait: a database that is away costs nothing for
    `MOST_WAITING` of them.
    """

    def __init__(self) -> None:
        self._tick: int | None = None
        self._open: dict[str, list[Fold]] = {}
        self._closed: list[Tick] = []
        self._last_at: float | None = None

    def take(self, readings: Readings) -> None:
        now = readings.at.timestamp()
        seconds = min(max(now - self._last_at, 0.0), LONGEST) if self._last_at is not None else 1.0
        tick = int(now) // TICK * TICK
        if self._tick is not None and tick != self._tick:
            self._closed.append((self._tick, {name: folds.fold(one) for name, one in self._open.items()}))
            self._open = {}
        self._tick, self._last_at = tick, now
        for subject, values in folds.of_readings(readings, round(seconds, 3)).items():
            self._open.setdefault(subject, []).append(values)

    def due(self) -> list[Tick]:
        """The ticks that are to be written, oldest first; they are the caller's from now on."""
        due, self._closed = self._closed, []
        return due

    def give_back(self, ticks: list[Tick]) -> None:
        self._closed = [*ticks, *self._closed][-MOST_WAITING:]


class Writer:
    """Writes ticks, one transaction for all that wait, and once a minute what follows from them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._subjects: dict[str, int] = {}
        self._rolled = 0  # the minute up to which all is rolled up

    def write(self, ticks: list[Tick], newest: str) -> None:
        """`newest` is `Readings.to_text`. Raises DatabaseError, and then nothing was written."""
        with transaction.atomic():
            self._know({name for _, values in ticks for name in values})
            _put(
                Sample(subject_id=self._subjects[name], step=TICK, at=at, values=values)
                for at, by_subject in ticks
                for name, values in by_subject.items()
            )
            Snapshot.objects.bulk_create(
                [Snapshot(pk=1, readings=newest)],
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=["readings"],
            )

    def tidy(self) -> None:
        """Roll up and prune, at most once a minute."""
        minute = int(self._clock()) // MINUTE * MINUTE
        if minute != self._rolled:
            roll_up(minute)
            prune(minute)
            self._subjects.clear()  # some may have gone
            self._rolled = minute

    def _know(self, names: set[str]) -> None:
        unknown = names - self._subjects.keys()
        if unknown:
            Subject.objects.bulk_create([Subject(name=name) for name in unknown], ignore_conflicts=True)
            self._subjects.update(Subject.objects.filter(name__in=unknown).values_list("name", "pk"))


def roll_up(now: int) -> None:
    """Fold each finished stretch out of the next finer ones; what was missed is made up for."""
    for fine, coarse in pairwise(STEPS):
        end = now // coarse * coarse
        newest = Sample.objects.filter(step=coarse).aggregate(at=Max("at"))["at"]
        begin = newest + coarse if newest is not None else _first(fine)
        if begin is None or begin >= end:
            continue
        rows = Sample.objects.filter(step=fine, at__gte=begin, at__lt=end).order_by("subject_id", "at")
        pieces = rows.values_list("subject_id", "at", "values")
        _put(
            Sample(
                subject_id=subject, step=coarse, at=at, values=folds.fold(values for _, _, values in group)
            )
            for (subject, at), group in groupby(pieces, key=lambda one: (one[0], one[1] // coarse * coarse))
        )


def _first(step: int) -> int | None:
    found: int | None = Sample.objects.filter(step=step).aggregate(at=Min("at"))["at"]
    return found


def _put(samples: Iterable[Sample]) -> None:
    """A stretch that is there already is written anew: a clock that was set back passes it twice."""
    Sample.objects.bulk_create(
        samples,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["subject", "step", "at"],
        update_fields=["values"],
    )


def prune(now: int) -> None:
    """Drop what is too old, and at each full hour the subjects of which nothing is left."""
    ages = {**KEPT, HOUR: settings.HISTORY_DAYS * 24 * HOUR}
    for step, age in ages.items():
        Sample.objects.filter(step=step, at__lt=now - age).delete()
    if now % HOUR == 0:
        Subject.objects.filter(samples=None).delete()


def read(
    subjects: Iterable[str], begin: int, end: int, step: int, metrics: frozenset[str] | None = None
) -> dict[int, dict[str, Fold]]:
    """Folds by point and subject, a point being `step` seconds from its begin on.

    Of the finest rows that are kept for so long, or are not finer than a point: the last minutes, which are not rolled
    up yet, come from the finer ones. One query for each kind of row.
    """
    points: dict[int, dict[str, Fold]] = {}
    names = list(subjects)
    for fine, since, until in _sources(begin, end, step):
        rows = (
            Sample.objects.filter(subject__name__in=names, step=fine, at__gte=since, at__lt=until)
            .order_by("at")
            .values_list("subject__name", "at", "values")
        )
        by_point = sorted(
            ((at // step * step, name, values) for name, at, values in rows.iterator()), key=itemgetter(0, 1)
        )
        for (point, name), group in groupby(by_point, key=itemgetter(0, 1)):
            known = points.setdefault(point, {})
            pieces = [values for _, _, values in group]
            known[name] = folds.fold([known[name], *pieces] if name in known else pieces, metrics)
    return points


def _sources(begin: int, end: int, step: int) -> list[tuple[int, int, int]]:
    """Which rows, from when to when: the coarsest that fit into a point, then finer ones for what is new."""
    found = []
    since = begin
    for coarse in [one for one in reversed(STEPS) if one <= step]:
        until = end if coarse == TICK else max(since, int(time.time()) // coarse * coarse)
        until = min(until, end)
        if until > since:
            found.append((coarse, since, until))
        since = max(since, until)
    return found
