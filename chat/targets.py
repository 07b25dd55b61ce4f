"""The engines that can be talked to, and which of them a client means by `model`."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from instances.models import Instance, Launch
from instances.states import State


@dataclass(frozen=True)
class Target:
    """A running engine: where it listens, the key it wants, what it calls its model."""

    launch_id: int
    instance_id: int
    instance_name: str
    served_name: str
    base_url: str
    engine_key: str
    since: int  # seconds since the epoch

    @classmethod
    def of(cls, launch: Launch) -> Target:
        return cls(
            launch_id=launch.pk,
            instance_id=launch.instance_id,
            instance_name=launch.instance.name,
            served_name=launch.served_name,
            base_url=launch.base_url,
            engine_key=launch.engine_key,
            since=int(launch.created.timestamp()),
        )


class UnknownModel(Exception):
    """No instance is called so; carries a sentence that names those which run."""


class NotRunning(Exception):
    """There is such an instance, but it does not run; carries a sentence that says its state."""


def running_targets() -> list[Target]:
    """By name. An instance that is being removed takes nothing new."""
    launches = Launch.objects.filter(
        state=State.RUNNING, instance__removing=False, instance__removed_at__isnull=True
    ).select_related("instance")
    return [Target.of(launch) for launch in launches.order_by("instance__name")]


def target_of(instance: Instance | None) -> Target | None:
    """The running engine of this instance."""
    if instance is None:
        return None
    return next((target for target in running_targets() if target.instance_id == instance.pk), None)


def _advice(known: Instance) -> str:
    """What to do about one that does not run."""
    if known.state in (State.INITIALIZING, State.STARTING):
        return "Ask again in a little while."
    if known.state == State.UNHEALTHY and known.last_launch:
        return f"{known.last_launch.error} Ask again in a little while, or restart it."
    return "Start it, then ask again."


def find_target(model: str) -> Target:
    """The running engine that a client means by a served name or an instance's name.

    Raises UnknownModel, NotRunning.
    """
    running = running_targets()
    for target in running:
        if model in (target.served_name, target.instance_name):
            return target
    known = Instance.objects.visible().filter(Q(name=model) | Q(served_name=model)).first()
    if known is not None:
        raise NotRunning(f"{known.name} is not running: it is {known.state.label.lower()}. {_advice(known)}")
    names = ", ".join(target.served_name for target in running)
    raise UnknownModel(
        f"There is no model {model[:200]!r} here. "
        + (f"Running now: {names}." if names else "No model is running now.")
    )
