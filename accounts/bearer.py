"""The door for programs: an API key in the `Authorization` header instead of a session."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async

from .services import owner_of_key

Asgi = Any  # an ASGI application: the packages that make them do not agree on its type


def secret_of(authorization: str) -> str:
    """The secret in an `Authorization: Bearer …` header's value, or an empty string."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


class BearerDoor:
    """Lets a WebSocket with a valid API key in without an Origin; everybody else takes the browsers' door."""

    def __init__(self, inside: Asgi, browsers: Asgi) -> None:
        self._inside = inside
        self._browsers = browsers

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        secret = secret_of(dict(scope["headers"]).get(b"authorization", b"").decode("latin-1"))
        if not secret:
            await self._browsers(scope, receive, send)
        elif user := await database_sync_to_async(owner_of_key)(secret):
            await self._inside({**scope, "user": user}, receive, send)
        else:
            await send({"type": "websocket.close", "code": 4401})
