"""Whose request it is: the owner of the bearer key."""

from __future__ import annotations

import time

from channels.db import database_sync_to_async

from accounts.bearer import secret_of
from accounts.models import ApiKey
from accounts.services import owner_of_key

from .errors import Refusal

TRUSTED_FOR = 3.0  # seconds that a good key is not looked up again; so long does a revoked one still work
MOST = 1000  # keys remembered

# hash -> (until when, owner's id); the secret itself is never kept
_trusted: dict[str, tuple[float, int]] = {}


async def require_key(headers: dict[bytes, bytes]) -> int:
    """The owner's id. Raises Refusal (401)."""
    secret = secret_of(headers.get(b"authorization", b"").decode("latin-1"))
    if not secret:
        raise _refused("An API key is needed: send it as `Authorization: Bearer …`.")
    digest = ApiKey.hash_of(secret)
    now = time.monotonic()
    until, owner_id = _trusted.get(digest, (0.0, 0))
    if until > now:
        return owner_id
    owner = await database_sync_to_async(owner_of_key)(secret)
    if owner is None:
        _trusted.pop(digest, None)
        raise _refused("This API key is not valid: it is unknown, revoked or expired.")
    if len(_trusted) >= MOST:
        _trusted.clear()
    _trusted[digest] = (now + TRUSTED_FOR, owner.pk)
    return owner.pk


def _refused(message: str) -> Refusal:
    return Refusal(401, message, code="invalid_api_key", headers=[(b"www-authenticate", b"Bearer")])
