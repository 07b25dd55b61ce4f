"""A long task beside the engines, in a process of its own: a download, an installation, the reading of flags."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class JobKind(models.TextChoices):
    MODEL = "model", _("download of a model")
    ENGINE = "engine", _("installation of an engine")
    FLAGS = "flags", _("reading of an engine's flags")


class JobState(models.TextChoices):
    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


MANAGE_ENGINES = "instances.manage_engines"  # a permission
OPEN = (JobState.WAITING, JobState.RUNNING)


class JobQuerySet(models.QuerySet["Job"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN)

    def here(self) -> Self:
        """Of this host: the only ones whose processes can be seen."""
        return self.filter(host=socket.gethostname())

    def of(self, kind: JobKind, subject: str) -> Self:
        return self.filter(kind=kind, subject=subject)

    def note(self, job: Job, **facts: Any) -> bool:
        """Write observed facts, if the state is still the one that was seen; whether it was."""
        written = self.filter(pk=job.pk, state=job.state).update(**facts) == 1
        if written:
            for name, value in facts.items():
                setattr(job, name, value)
        return written


class Job(models.Model):
    """People write that it is wanted; only the supervisor writes what became of it."""

    kind = models.CharField(max_length=10, choices=JobKind.choices)
    subject = models.CharField(
        max_length=500
    )  # a model as configurations name it, a version, an engine's slug
    options = models.JSONField(default=dict)  # of its program
    wanted = models.BooleanField(default=True)  # False: to be cancelled
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING, db_index=True)
    progress = models.JSONField(default=dict)  # {"text", "done", "total", "speed", "eta"}: bytes, bytes/s, s
    error = models.CharField(max_length=500, blank=True)
    advice = models.CharField(max_length=500, blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    launch = models.ForeignKey(  # for which it was begun; it goes when that one is not wanted any more
        "Launch", null=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    host = models.CharField(max_length=100, default=socket.gethostname)
    created = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["host", "kind", "subject"],
                condition=Q(state__in=OPEN),
                name="job_one_open_per_subject",
            )
        ]
        permissions = [
            ("manage_engines", "Can install and remove engines"),
            ("manage_tokens", "Can set the tokens of model hubs"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"

    @property
    def directory(self) -> Path:
        return Path(settings.LLMOPS_DATA) / "jobs" / str(self.pk)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def percent(self) -> int | None:
        done, total = self.progress.get("done"), self.progress.get("total")
        return min(100, int(100 * done / total)) if done is not None and total else None
