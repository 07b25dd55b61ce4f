"""The door for programs: an API key in the `Authorization` header instead of a session."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async

from .services import owner_of_key

Asgi = Any  # an ASGI application: the packages that make them do not agree on its type


def secret_in(headers: list[tuple[bytes, bytes]]) -> str:
    """The bearer secret of an ASGI scope's headers, or an empty string."""
    for name, value in headers:
        if name.lower() == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            return secret.strip() if scheme.lower() == "bearer" else ""
    return ""


class BearerDoor:
    """Lets a WebSocket with a valid API key in without an Origin; everybody else takes the browsers' door."""

    def __init__(self, inside: Asgi, browsers: Asgi) -> None:
        self._inside = inside
        self._browsers = browsers

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        secret = secret_in(scope["headers"])
        if not secret:
            await self._browsers(scope, receive, send)
        elif user := await database_sync_to_async(owner_of_key)(secret):
            await self._inside({**scope, "user": user}, receive, send)
        else:
            await send({"type": "websocket.close", "code": 4401})
