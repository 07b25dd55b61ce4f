"""WebSockets: browsers come with a session and our own Origin, programs with a bearer key."""

import logging
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from accounts.bearer import BearerDoor
from instances.away import LayerAway
from instances.consumers import TRY_AGAIN_LATER
from instances.routing import websocket_urlpatterns

from .outage import AWAY, first_line

log = logging.getLogger(__name__)

Asgi = Any  # an ASGI application: the packages that make them do not agree on its type


class SocketEdge:
    """Closes a WebSocket whose database or Redis is away, so that the page says so and connects again."""

    def __init__(self, inside: Asgi) -> None:
        self._inside = inside

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await self._inside(scope, receive, send)
        except (LayerAway, *AWAY) as error:
            log.info("a page cannot be kept true at the moment: %s", first_line(error))
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})


_pages = URLRouter(websocket_urlpatterns)
websockets = SocketEdge(BearerDoor(_pages, AllowedHostsOriginValidator(AuthMiddlewareStack(_pages))))
