"""WebSockets: browsers come with a session and our own Origin, programs with a bearer key."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from accounts.bearer import BearerDoor
from instances.routing import websocket_urlpatterns

_pages = URLRouter(websocket_urlpatterns)
websockets = BearerDoor(_pages, AllowedHostsOriginValidator(AuthMiddlewareStack(_pages)))
