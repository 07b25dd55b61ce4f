"""What people decide about accounts, and the one place where history is written."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from .models import ApiKey, Event, User

KEY_MARK = "llmops-"  # lets a person, and a secret scanner, recognise one of our keys


def record_event(
    *, actor: User | None, verb: str, subject: str, subject_name: str = "", detail: str = ""
) -> Event:
    """Write one line of history. Without an actor it was the supervisor that did it."""
    return Event.objects.create(
        actor=actor,
        actor_name=actor.shown_name if actor else "Supervisor",
        verb=verb,
        subject=subject,
        subject_name=subject_name,
        detail=detail[:500],
    )


@transaction.atomic
def create_first_administrator(*, username: str, password: str) -> User:
    user = User.objects.create_superuser(username=username, password=password)
    record_event(actor=user, verb="became administrator", subject=f"user:{user.pk}", subject_name=username)
    return user


@transaction.atomic
def create_api_key(*, owner: User, name: str = "") -> tuple[ApiKey, str]:
    """Return the key's row and its secret, which is shown once and cannot be had again."""
    secret = KEY_MARK + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        owner=owner, name=name, hash=ApiKey.hash_of(secret), prefix=secret[: len(KEY_MARK) + 4]
    )
    record_event(
        actor=owner, verb="made the API key", subject=f"api-key:{key.pk}", subject_name=name or key.prefix
    )
    return key, secret


@transaction.atomic
def revoke_api_key(*, actor: User, key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk, revoked__isnull=True).update(revoked=timezone.now())
    record_event(
        actor=actor,
        verb="revoked the API key",
        subject=f"api-key:{key.pk}",
        subject_name=key.name or key.prefix,
    )


def owner_of_key(secret: str) -> User | None:
    """The person whose valid API key this is, else None. Notes the use, at most once a minute.

    While another process holds the database locked it reads all the same, and the note is left out.
    """
    key = ApiKey.objects.for_secret(secret).first()
    if key is None:
        return None
    now = timezone.now()
    if key.last_used is None or (now - key.last_used).total_seconds() > 60:
        with suppress(OperationalError), _without_waiting():
            ApiKey.objects.filter(pk=key.pk).update(last_used=now)
    return key.owner


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Inside, a locked SQLite refuses a write at once instead of after `timeout` seconds."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]  # ms
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")
