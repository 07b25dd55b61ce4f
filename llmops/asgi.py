"""The console as one ASGI application: the gateway in front of Django, WebSockets, and the supervisor's mailbox."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops.settings")
django_application = get_asgi_application()

from channels.routing import ChannelNameRouter, ProtocolTypeRouter  # noqa: E402  (Django must stand first)

from chat.gateway.asgi import Gateway  # noqa: E402
from instances.announce import SUPERVISOR  # noqa: E402
from instances.supervisor.mailbox import SupervisorConsumer  # noqa: E402

from .latency import Timed  # noqa: E402
from .routing import websockets  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": Timed(Gateway(django_application)),  # the path of a token goes without Django's middleware
        "websocket": websockets,
        "channel": ChannelNameRouter({SUPERVISOR: SupervisorConsumer.as_asgi()}),
    }
)
