"""The engines of this machine and their installations, as pages and programs are shown them."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from .logs import store
from .models import Instance, Job, JobKind, JobState, Launch
from .shelf import TONES
from .vllm import engines, resolution
from .vllm.schema import Schema, of_engine

STEP = re.compile(r"(\d+)/(\d+) (.*)")  # as the installer tells: which of how many, and what
LINES = 8  # of an installation's output
RECENT = 4  # installations shown that have ended
NEWS_FOR = dt.timedelta(hours=1)  # after it was installed the engine itself says enough


def flags_folder() -> Path:
    return Path(settings.LLMOPS_DATA) / "flags"


@dataclass(frozen=True)
class Row:
    """One engine, or one that is missing for a reason."""

    found: engines.Found
    name: str  # under which a configuration keeps it; empty where it does not work
    users: tuple[str, ...]  # names of the instances that run on it now or at their next start
    is_read: bool  # it is being asked for its flags

    @property
    def tone(self) -> str:
        """The state of a launch that looks alike."""
        if self.found.installing:
            return "starting"
        if self.found.engine is None:
            return "error"
        return "initializing" if self.found.engine.asking else "running"

    @cached_property
    def flags(self) -> Schema | None:
        engine = self.found.engine
        return of_engine(engine.slug, engine.version, flags_folder()) if engine else None

    @property
    def tells_flags(self) -> bool:
        """Whether its flags are those that it told itself."""
        return (flags_folder() / f"{self.found.slug}.json").exists()

    @property
    def folder(self) -> Path:
        return self.found.path

    @property
    def can_go(self) -> bool:
        return self.found.removable and not self.found.installing and not self.users

    @property
    def is_mendable(self) -> bool:
        """Whether installing the same version again is what helps."""
        return self.found.removable and self.found.engine is None and not self.found.installing


@dataclass(frozen=True)
class Installation:
    """A job that installs an engine, and what it has made so far."""

    job: Job
    row: Row | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to say: its engine has spoken for itself for a while, or was removed."""
        if self.job.is_open:
            return False
        if self.job.state == JobState.DONE:
            works = self.row is not None and self.row.found.engine is not None
            ended = self.job.ended_at or self.job.created
            return not works or timezone.now() - ended > NEWS_FOR
        was_there = self.job.state == JobState.CANCELLED or "failed" in self.job.progress
        return self.row is None and was_there

    @property
    def tone(self) -> str:
        return TONES[JobState(self.job.state)]

    @property
    def accelerator(self) -> str:
        return str(self.job.options.get("accelerator") or "")

    @property
    def _step(self) -> tuple[int, int, str]:
        found = STEP.match(self.text)
        return (int(found[1]), int(found[2]), found[3]) if found else (0, 0, self.text)

    @property
    def text(self) -> str:
        return str(self.job.progress.get("text") or "")

    @property
    def doing(self) -> str:
        return self._step[2]

    @property
    def step(self) -> int:
        return self._step[0]

    @property
    def finished(self) -> int:
        """Steps."""
        return max(0, self.step - 1)

    @property
    def steps(self) -> int:
        return self._step[1]

    @cached_property
    def lines(self) -> list[str]:
        """The end of its output."""
        said = store.read(self.job.directory, 0, LINES, tail=True).lines
        return [text for line in said if (text := line.text.strip())]


def rows() -> list[Row]:
    """Three queries for any number of instances."""
    known = engines.every()
    names = {engine.slug: name for name, engine in engines.choices()}
    users = users_of(known)
    read = set(Job.objects.open().here().filter(kind=JobKind.FLAGS).values_list("subject", flat=True))
    return [
        Row(one, names.get(one.slug, ""), tuple(users.get(one.slug, ())), one.slug in read) for one in known
    ]


def users_of(known: list[engines.Found]) -> dict[str, list[str]]:
    """By engine: the instances whose configuration means it, and those that still run on it."""
    named = [
        (instance.name, instance.config.get("engine"))
        for instance in Instance.objects.visible().select_related("revision")
    ]
    running = Launch.objects.live().here().select_related("instance", "revision")
    named += [(launch.instance.name, launch.revision.config.get("engine")) for launch in running]
    users: dict[str, set[str]] = defaultdict(set)
    for name, engine in named:
        if meant := engines.named(engine, known):
            users[meant.slug].add(name)
    return {slug: sorted(names) for slug, names in users.items()}


def installations(known: Iterable[Row]) -> list[Installation]:
    """Those under way, then the last ones that ended; each version once."""
    jobs = Job.objects.here().filter(kind=JobKind.ENGINE).order_by("-pk")[:100]
    by_subject: dict[str, Job] = {}
    for job in jobs:
        by_subject.setdefault(job.subject, job)
    by_slug = {row.found.slug: row for row in known}
    found = [Installation(job, by_slug.get(slug_of(job))) for job in by_subject.values()]
    ended = [one for one in found if not one.job.is_open and not one.is_over]
    return [one for one in found if one.job.is_open] + ended[:RECENT]


def slug_of(job: Job) -> str:
    """The name of the folder that an installation fills."""
    kind: engines.Accelerator = "cuda" if job.options.get("accelerator") == "cuda" else "cpu"
    if job.subject == resolution.locked_version(engines.ROOT / engines.REQUIREMENTS[kind], kind):
        return engines.folder(kind, os.environ).name
    return f"{kind}-{job.subject}"
