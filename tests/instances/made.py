"""Instances and launches in any state, as rows alone: no process stands behind them."""

from __future__ import annotations

import socket
from typing import Any

from accounts.models import User
from instances.models import DesiredState, Instance, Launch, Revision
from instances.states import LIVE, State

MODEL = "Qwen/Qwen3-0.6B"


def make_instance(owner: User, name: str = "tiny", *, running: bool = True, **config: Any) -> Instance:
    instance = Instance.objects.create(
        name=name,
        served_name=name,
        owner=owner,
        desired_by=owner,
        desired_state=DesiredState.RUNNING if running else DesiredState.STOPPED,
    )
    settings = {"model": MODEL, **config}
    instance.revision = Revision.objects.create(instance=instance, number=1, config=settings, author=owner)
    instance.save()
    return instance


def make_launch(instance: Instance, state: State, **facts: Any) -> Launch:
    """A launch of its revision, as its owner asked for it."""
    assert instance.revision
    return Launch.objects.create(
        instance=instance,
        revision=instance.revision,
        state=state,
        host=socket.gethostname(),
        served_name=instance.served_name,
        engine_key="canary-of-an-engine-key",
        **{"asked_by": instance.owner, **facts},
    )


def in_state(owner: User, state: State, name: str = "tiny", **facts: Any) -> Instance:
    """An instance that people want as it is, with one launch in this state."""
    instance = make_instance(owner, name, running=state in LIVE - {State.STOPPING} or state == State.ERROR)
    make_launch(instance, state, **facts)
    return instance
