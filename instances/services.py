"""What people decide about instances. Each call: one transaction, one event, the bell on commit.

They write the desired state only; the supervisor makes it so. Whoever calls has authorised and validated.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from accounts.models import User

from . import announce, events
from .models import DesiredState, Instance, Launch, Revision
from .states import State

Result = TypeVar("Result")
Given = ParamSpec("Given")

ONE_AT_A_TIME = 0x11A05  # our number among PostgreSQL's advisory locks


class Refused(Exception):
    """A decision that cannot be taken now; carries a sentence for the person."""


class LimitReached(Refused):
    """As many instances should run as this console allows."""


class NameTaken(Refused):
    """Another instance that is not removed has this name."""


class Removed(Refused):
    """It is no longer there."""


def decision(decide: Callable[Given, Result]) -> Callable[Given, Result]:
    """One transaction, and one decision at a time in all processes: what it reads stays so until it has written.

    That is how two deploys at the same moment cannot both be the last one that the limit, or the name, allows.
    SQLite's transactions wait for each other anyway.
    """

    @functools.wraps(decide)
    def alone(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
            return decide(*args, **kwargs)

    return alone


def _record(actor: User | None, verb: str, instance: Instance, detail: str = "") -> None:
    events.record(instance, verb, actor=actor, detail=detail)
    announce.decided(instance.pk)


def _refuse_beyond_limit(*, but: Instance | None = None) -> None:
    running = Instance.objects.should_run().exclude(pk=but.pk if but else 0).order_by("name")
    names = list(running.values_list("name", flat=True))
    limit = settings.LLMOPS_MAX_INSTANCES
    if len(names) >= limit:
        raise LimitReached(
            f"{len(names)} of {limit} instances should run already: {', '.join(names)}. "
            "Stop one first, or raise LLMOPS_MAX_INSTANCES."
        )


@decision
def deploy_instance(
    *,
    actor: User,
    name: str,
    served_name: str,
    config: dict[str, Any],
    restart_policy: str,
    start: bool = True,
    submission: uuid.UUID | None = None,
) -> Instance:
    """Make an instance with its first revision. The same `submission` twice gives the same instance.

    Raises LimitReached (nothing is saved) and NameTaken.
    """
    if submission and (earlier := Instance.objects.filter(submission=submission).first()):
        return earlier
    if Instance.objects.visible().filter(name=name).exists():
        raise NameTaken(f"There is an instance called {name}. Choose another name, or remove that one.")
    if start:
        _refuse_beyond_limit()
    instance = Instance.objects.create(
        name=name,
        served_name=served_name,
        owner=actor,
        restart_policy=restart_policy,
        desired_state=DesiredState.RUNNING if start else DesiredState.STOPPED,
        desired_by=actor,
        submission=submission,
    )
    _add_revision(instance, actor, config)
    _record(actor, "deployed" if start else "saved", instance, str(config.get("model", "")))
    return instance


def _add_revision(instance: Instance, actor: User, config: dict[str, Any]) -> Revision:
    newest = instance.revisions.aggregate(newest=Max("number"))["newest"] or 0
    revision = Revision.objects.create(
        instance=instance,
        number=newest + 1,
        config=config,
        served_name=instance.served_name,
        restart_policy=instance.restart_policy,
        author=actor,
    )
    instance.revision = revision
    instance.save(update_fields=["revision"])
    return revision


@decision
def revise_instance(
    *, actor: User, instance: Instance, config: dict[str, Any], served_name: str, restart_policy: str
) -> Instance:
    """Save a new revision; what runs goes on until it is restarted. A save that changes nothing makes none."""
    _read_anew(instance)
    before = (instance.config, instance.served_name, instance.restart_policy)
    if before == (config, served_name, restart_policy):
        return instance
    instance.served_name = served_name
    instance.restart_policy = restart_policy
    instance.save(update_fields=["served_name", "restart_policy"])
    revision = _add_revision(instance, actor, config)
    _record(actor, "changed", instance, f"revision {revision.number}")
    return instance


@decision
def deploy_again(
    *, actor: User, instance: Instance, config: dict[str, Any], served_name: str, restart_policy: str
) -> None:
    """Save a revision and have it run, or neither: beyond the limit nothing is saved. Raises LimitReached, Removed."""
    revise_instance(
        actor=actor,
        instance=instance,
        config=config,
        served_name=served_name,
        restart_policy=restart_policy,
    )
    begin = restart_instance if instance.is_live else start_instance
    begin(actor=actor, instance=instance)


def _read_anew(instance: Instance) -> None:
    """What a page has read may have moved on; from here on its row waits for us. Raises Removed."""
    instance.refresh_from_db(from_queryset=Instance.objects.select_for_update(no_key=True))
    if instance.removed_at:
        raise Removed(f"{instance.name} was removed.")


def _newest_launch(instance: Instance) -> Launch | None:
    return instance.launches.order_by("-pk").first()


def _intend(instance: Instance, actor: User | None, **intent: Any) -> None:
    Instance.objects.filter(pk=instance.pk).update(desired_by=actor, **intent)
    instance.refresh_from_db()


def _want_a_later_launch(instance: Instance, actor: User, last: Launch | None) -> None:
    """Raises LimitReached."""
    _refuse_beyond_limit(but=instance)
    _intend(
        instance,
        actor,
        desired_state=DesiredState.RUNNING,
        retired_through=last.pk if last else 0,
        removing=False,
    )


@decision
def start_instance(*, actor: User, instance: Instance) -> None:
    """Ask for it to run. Raises LimitReached, Removed. Already wanted and not ended: nothing changes."""
    _read_anew(instance)
    last = _newest_launch(instance)
    if last and not last.ended and instance.wants(last):
        return
    _want_a_later_launch(instance, actor, last)
    _record(actor, "started", instance)


@decision
def stop_instance(*, actor: User | None, instance: Instance, detail: str = "") -> None:
    """Ask for it to end; nobody in particular may too. Asked again while it is stopping, the grace is over."""
    _read_anew(instance)
    last = _newest_launch(instance)
    if last and last.state == State.STOPPING and instance.desired_state == DesiredState.STOPPED:
        _intend(instance, actor, forced_through=last.pk)
        _record(actor, "forced the stop of", instance)
        return
    _intend(instance, actor, desired_state=DesiredState.STOPPED)
    _record(actor, "stopped", instance, detail)


@decision
def restart_instance(*, actor: User, instance: Instance) -> None:
    """Ask for a new launch of the newest revision in place of what runs. Raises LimitReached, Removed."""
    _read_anew(instance)
    _want_a_later_launch(instance, actor, _newest_launch(instance))
    _record(actor, "restarted", instance)


@decision
def remove_instance(*, actor: User, instance: Instance) -> None:
    """Hide it for good, its history and logs stay; what runs is stopped first."""
    try:
        _read_anew(instance)
    except Removed:
        return  # two clicks at the same moment
    _intend(instance, actor, desired_state=DesiredState.STOPPED, removing=True)
    Instance.objects.finish_removals()
    _record(actor, "removed", instance)
