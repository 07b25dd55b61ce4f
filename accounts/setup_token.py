"""The one-time token with which the first administrator is made.

Guarantee: it opens the set-up page only while no superuser exists, however that one was made.
It is kept in the data folder, readable by the owner alone, so that every start can print it again.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from django.conf import settings

from .kept import kept_secret
from .models import User

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # nothing that is read as something else


def needed() -> bool:
    return not User.objects.filter(is_superuser=True).exists()


def _path() -> Path:
    return Path(settings.LLMOPS_DATA) / "setup_token"


def current() -> str:
    """The token, made at the first call: three groups of four, like ABCD-1234-EFGH."""
    return kept_secret(_path(), _new_token)


def _new_token() -> str:
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(3))


def matches(typed: str) -> bool:
    return secrets.compare_digest(typed.strip().upper().encode(), current().encode())


def discard() -> None:
    _path().unlink(missing_ok=True)
