"""Lines of history about instances."""

from __future__ import annotations

from accounts.models import User
from accounts.services import record_event

from .models import Instance


def record(instance: Instance, verb: str, *, actor: User | None = None, detail: str = "") -> None:
    """Write one; without an actor it was the supervisor that did it."""
    record_event(
        actor=actor, verb=verb, subject=f"instance:{instance.pk}", subject_name=instance.name, detail=detail
    )
