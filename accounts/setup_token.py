"""The one-time token with which the first administrator is made.

Guarantee: it opens the set-up page only while no superuser exists, however that one was made.
It is kept in the data folder, readable by the owner alone, so that every start can print it again.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.conf import settings

from .models import User

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # nothing that is read as something else


def needed() -> bool:
    return not User.objects.filter(is_superuser=True).exists()


def _path() -> Path:
    return Path(settings.LLMOPS_DATA) / "setup_token"


def current() -> str:
    """The token, made at the first call: three groups of four, like ABCD-1234-EFGH."""
    path = _path()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    token = "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(3))
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    return token


def matches(typed: str) -> bool:
    return secrets.compare_digest(typed.strip().upper().encode(), current().encode())


def discard() -> None:
    _path().unlink(missing_ok=True)
