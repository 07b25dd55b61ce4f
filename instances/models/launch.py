"""One run of one revision, and what was observed of it. Only the supervisor writes here."""

from __future__ import annotations

import datetime as dt
import socket
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from instances.states import ENDED, LIVE, SERVING, State, may_move


class LaunchQuerySet(models.QuerySet["Launch"]):
    def live(self) -> Self:
        return self.filter(state__in=LIVE)

    def here(self) -> Self:
        """Of this host: the only ones whose processes and ports can be seen."""
        return self.filter(host=socket.gethostname())

    def with_people(self) -> Self:
        """Each with all that a line of history tells: one query."""
        return self.select_related("instance", "revision", "asked_by", "stopped_by")

    def move(self, launch: Launch, state: State, **facts: Any) -> bool:
        """Compare-and-set: False when somebody was first. Raises ValueError on a move that the table forbids."""
        if not may_move(launch.state, state):
            raise ValueError(f"launch {launch.pk} cannot move from {launch.state} to {state}")
        return self.note(launch, state=state, **facts)

    def note(self, launch: Launch, **facts: Any) -> bool:
        """Write observed facts, if the state is still the one that was seen. A move is `move`'s business."""
        written = self.filter(pk=launch.pk, state=launch.state).update(**facts) == 1
        if written:
            for name, value in facts.items():
                setattr(launch, name, value)
        return written


class Launch(models.Model):
    """One run of one revision. Only the supervisor writes what it observed here."""

    instance = models.ForeignKey("Instance", on_delete=models.CASCADE, related_name="launches")
    revision = models.ForeignKey("Revision", on_delete=models.PROTECT, related_name="launches")
    state = models.CharField(max_length=12, choices=State.choices, default=State.INITIALIZING, db_index=True)
    phase = models.CharField(max_length=20, blank=True)  # of the start, in vLLM's words
    progress = models.JSONField(null=True)  # [n, m] within the phase
    phases = models.JSONField(default=dict)  # {"seen": [...], "seconds": {...}}
    port = models.PositiveIntegerField(null=True)
    host = models.CharField(max_length=100)
    served_name = models.CharField(max_length=200)  # as it was when this launch began
    pid = models.PositiveIntegerField(null=True)  # the engine's main process
    engine_key = models.CharField(max_length=64)  # VLLM_API_KEY of this launch alone
    accelerator = models.CharField(max_length=8, blank=True)
    engine_version = models.CharField(max_length=40, blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    attempt = models.PositiveSmallIntegerField(default=0)  # 0: a person asked; n: our nth attempt
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)  # negative: the signal that ended it
    note = models.CharField(max_length=300, blank=True)  # what it waits for, while it lives
    code = models.CharField(max_length=40, blank=True)  # of the cause, one of vllm.causes or our own
    error = models.CharField(max_length=500, blank=True)  # the cause in words
    advice = models.CharField(max_length=500, blank=True)  # what to change
    change = models.JSONField(null=True)  # the same as keys of the configuration, where that is possible
    evidence = models.TextField(blank=True)  # the engine's own line
    evidence_at = models.BigIntegerField(null=True)  # its offset in the log, bytes
    notices = models.JSONField(default=list)  # it runs, but: [{"code", "text", "advice", "evidence"}]
    gpus = models.JSONField(default=list)  # indices of the GPUs that it claims
    estimate = models.JSONField(null=True)  # what it was expected to take: instances.fitting
    measured = models.JSONField(null=True)  # what its engine's log says that it takes: vllm.fit.measured
    restart_at = models.DateTimeField(null=True)  # when the supervisor tries again; null: it does not
    restart_attempt = models.PositiveSmallIntegerField(default=0)
    log_dropped_at = models.DateTimeField(null=True)  # its log was old, and made room

    objects = LaunchQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["host", "port"],
                condition=Q(state__in=sorted(LIVE)) & Q(port__isnull=False),
                name="launch_port_reserved_while_live",
            ),
            models.UniqueConstraint(
                fields=["instance"], condition=Q(state__in=sorted(LIVE)), name="launch_one_live_per_instance"
            ),
        ]

    def __str__(self) -> str:
        return f"launch {self.pk} of {self.instance.name}"

    @property
    def directory(self) -> Path:
        return Path(settings.LLMOPS_DATA) / "launches" / str(self.pk)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def serving(self) -> bool:
        return self.state in SERVING

    @property
    def time_to_ready(self) -> dt.timedelta | None:
        return self.ready_at - self.created if self.ready_at else None

    @property
    def ran_for(self) -> dt.timedelta:
        return (self.ended_at or timezone.now()) - self.created
