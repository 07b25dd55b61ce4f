"""What people decided about a server: an instance and the revisions of its configuration. Facts and predicates only."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from instances.states import LIVE, State

from .launch import Launch

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
NAME_MESSAGE = _("Use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit.")


class DesiredState(models.TextChoices):
    RUNNING = "running", _("running")
    STOPPED = "stopped", _("stopped")


class RestartPolicy(models.TextChoices):
    ON_FAILURE = "on-failure", _("start again after a failure")
    NEVER = "never", _("never")


class InstanceQuerySet(models.QuerySet["Instance"]):
    def visible(self) -> Self:
        return self.filter(removed_at__isnull=True)

    def should_run(self) -> Self:
        return self.visible().filter(desired_state=DesiredState.RUNNING)

    def decided(self) -> Self:
        """Those of which something is wanted: that they run, or that they go."""
        return self.visible().filter(Q(desired_state=DesiredState.RUNNING) | Q(removing=True))

    def with_last_launch(self) -> Self:
        """Each with `last_launch_id`, and its revision and owner at hand: the list pages' query."""
        newest = Launch.objects.filter(instance=OuterRef("pk")).order_by("-pk").values("pk")[:1]
        return self.select_related("owner", "revision__author").annotate(last_launch_id=Subquery(newest))

    def counts_by_state(self) -> dict[str, int]:
        """How many are in each state of their last launch; never launched counts as stopped."""
        newest = Launch.objects.filter(instance=OuterRef("pk")).order_by("-pk").values("state")[:1]
        states = self.visible().annotate(last_state=Subquery(newest)).values_list("last_state", flat=True)
        return dict(Counter(state or State.STOPPED.value for state in states))

    def with_launches(self) -> list[Instance]:
        """All of them with their last launches at hand: two queries for any number of instances."""
        instances = list(self.with_last_launch())
        launches = Launch.objects.select_related("revision", "asked_by", "stopped_by").in_bulk(
            [instance.last_launch_id for instance in instances if instance.last_launch_id]
        )
        for instance in instances:
            instance.last_launch = launches.get(instance.last_launch_id or 0)
            if instance.last_launch:
                instance.last_launch.instance = instance
        return instances

    def free_name(self, base: str) -> str:
        """`base` if no visible instance has it, else `base-2`, `base-3`, ..."""
        taken = set(self.visible().filter(name__startswith=base[:58]).values_list("name", flat=True))
        names = (base if n == 1 else f"{base[:58]}-{n}" for n in itertools.count(1))
        return next(name for name in names if name not in taken)

    def without_live_launch(self) -> Self:
        return self.exclude(launches__state__in=LIVE)

    def finish_removals(self) -> int:
        """Hide those that are to be removed and whose process is gone; how many."""
        return (
            self.visible()
            .filter(removing=True)
            .filter(pk__in=Instance.objects.without_live_launch().values("pk"))
            .update(removed_at=timezone.now())
        )


class Instance(models.Model):
    """A named thing that serves a model: what people decided about it. What is observed stands in its launches."""

    name = models.CharField(max_length=63, validators=[RegexValidator(NAME_PATTERN, NAME_MESSAGE)])
    served_name = models.CharField(max_length=200)  # what clients send as `model`
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="instances")
    revision = models.ForeignKey(  # to be run next
        "Revision", null=True, on_delete=models.PROTECT, related_name="+"
    )
    desired_state = models.CharField(
        max_length=10, choices=DesiredState.choices, default=DesiredState.STOPPED
    )
    desired_by = models.ForeignKey(  # who last said so
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    restart_policy = models.CharField(
        max_length=10, choices=RestartPolicy.choices, default=RestartPolicy.ON_FAILURE
    )
    retired_through = models.BigIntegerField(default=0)  # launches up to this id no longer count
    forced_through = models.BigIntegerField(default=0)  # launches up to this id are stopped without grace
    removing = models.BooleanField(default=False)
    removed_at = models.DateTimeField(null=True, blank=True)
    submission = models.UUIDField(null=True, unique=True, editable=False)  # of the form: sent twice is one
    created = models.DateTimeField(auto_now_add=True)

    objects = InstanceQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        permissions = [
            ("trust_remote_code", "Can run Python that comes with a model"),
            ("force_fit", "Can start what does not seem to fit"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(removed_at__isnull=True),
                name="instance_name_unique_while_visible",
            )
        ]

    last_launch_id: int | None  # of `with_last_launch`

    def __str__(self) -> str:
        return self.name

    @cached_property
    def last_launch(self) -> Launch | None:
        """The current launch, or else the last one."""
        return self.launches.select_related("revision", "asked_by", "stopped_by").order_by("-pk").first()

    @property
    def newest_revision(self) -> Revision:
        """Every instance has one; the column is empty only while both rows are being made."""
        assert self.revision is not None
        return self.revision

    @property
    def config(self) -> dict[str, Any]:
        return self.revision.config if self.revision else {}

    @property
    def model(self) -> str:
        return str(self.config.get("model", ""))

    @property
    def state(self) -> State:
        """The last launch's state; never launched: stopped."""
        return State(self.last_launch.state) if self.last_launch else State.STOPPED

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def can_chat(self) -> bool:
        return self.state == State.RUNNING and not self.removing

    @property
    def needs_a_person(self) -> bool:
        return self.state == State.ERROR and self.restart is None and not self.is_awaited

    def wants(self, launch: Launch) -> bool:
        """Whether this launch is the one that people want to run."""
        return self.desired_state == DesiredState.RUNNING and launch.pk > self.retired_through

    @property
    def is_awaited(self) -> bool:
        """Asked to run, and the supervisor has not begun yet."""
        last = self.last_launch
        wanted = self.desired_state == DesiredState.RUNNING and not self.removing
        return wanted and not self.is_live and (last is None or not self.wants(last))

    @property
    def is_ending(self) -> bool:
        """It lives, and nobody wants it any more, whether or not the supervisor has begun to end it."""
        last = self.last_launch
        return last is not None and not last.ended and (last.state == State.STOPPING or not self.wants(last))

    @property
    def restart(self) -> dict[str, Any] | None:
        """`{at, attempt, of}` of the attempt that the supervisor will make by itself, or None."""
        last = self.last_launch
        if last is None or last.restart_at is None or not self.wants(last):
            return None
        return {"at": last.restart_at, "attempt": last.restart_attempt, "of": settings.RESTART_BUDGET}


class Revision(models.Model):
    """One immutable snapshot of an instance's configuration."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    config = models.JSONField()  # the deploy body's keys that make the command: model, dtype, args, ...
    served_name = models.CharField(max_length=200, blank=True)  # as it was saved with it
    restart_policy = models.CharField(
        max_length=10, choices=RestartPolicy.choices, default=RestartPolicy.ON_FAILURE
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-number",)
        constraints = [models.UniqueConstraint(fields=["instance", "number"], name="revision_number_unique")]

    def __str__(self) -> str:
        return f"{self.instance.name} revision {self.number}"
