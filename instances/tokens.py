"""The tokens of model hubs: encrypted in the database, handed to downloads and engines, never shown.

The key is derived from the console's SECRET_KEY, which never leaves this host; with another one a token is as if it
had never been given.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_event

from .models import HubToken


@dataclass(frozen=True)
class Hub:
    title: str
    variable: str  # what its tools read
    pattern: re.Pattern[str]


HUBS = {
    "huggingface": Hub("Hugging Face", "HF_TOKEN", re.compile(r"[A-Za-z0-9_-]{8,200}")),
    "modelscope": Hub("ModelScope", "MODELSCOPE_API_TOKEN", re.compile(r"[A-Za-z0-9_-]{8,200}")),
}


class NoToken(ValueError):
    """What was entered is no token; carries a sentence."""


@transaction.atomic
def keep(*, actor: User, hub: str, token: str) -> None:
    """Encrypt and keep it, in place of an earlier one. Raises NoToken."""
    token = token.strip()
    if hub not in HUBS:
        raise NoToken(_("There is no such hub."))
    if not HUBS[hub].pattern.fullmatch(token):
        raise NoToken(_("A token has 8 to 200 letters, digits, - and _. Copy it from the hub once more."))
    encrypted = _cipher().encrypt(token.encode()).decode()
    facts = {"encrypted": encrypted, "set_by": actor, "set_at": timezone.now()}
    HubToken.objects.update_or_create(hub=hub, defaults=facts)
    _record(actor, "set the token of", hub)


@transaction.atomic
def remove(*, actor: User, hub: str) -> None:
    if HubToken.objects.filter(hub=hub).delete()[0]:
        _record(actor, "removed the token of", hub)


def _record(actor: User, verb: str, hub: str) -> None:
    record_event(actor=actor, verb=verb, subject=f"hub:{hub}", subject_name=HUBS[hub].title)


@dataclass(frozen=True)
class Kept:
    """Whether a hub's token is kept, and since when; never the token."""

    hub: str
    title: str
    token: HubToken | None
    is_given: bool  # to the console by its environment, which one that is kept takes the place of


def kept() -> list[Kept]:
    found = {token.hub: token for token in HubToken.objects.select_related("set_by")}
    return [
        Kept(name, hub.title, found.get(name), bool(os.environ.get(hub.variable)))
        for name, hub in HUBS.items()
    ]


def value(hub: str) -> str:
    """The token in plain text for a process that needs it; empty where there is none."""
    kept = HubToken.objects.filter(hub=hub).first()
    if kept is None:
        return ""
    try:
        return _cipher().decrypt(kept.encrypted.encode()).decode()
    except InvalidToken:
        return ""


def to_ask(hub: str) -> str:
    """What the console itself asks with: the one that is kept, else the one that it was started with."""
    return value(hub) or os.environ.get(HUBS[hub].variable, "")


def environment(*hubs: str) -> dict[str, str]:
    """Those of these hubs, of all when none is named, by the names that the hubs' tools read."""
    found = {hub.variable: value(name) for name, hub in HUBS.items() if not hubs or name in hubs}
    return {name: token for name, token in found.items() if token}


def _cipher() -> Fernet:
    key = HKDF(hashes.SHA256(), length=32, salt=None, info=b"llmops hub tokens")
    return Fernet(base64.urlsafe_b64encode(key.derive(settings.SECRET_KEY.encode())))
