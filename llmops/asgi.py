"""The console as one ASGI application: the gateway in front of Django, WebSockets, and the supervisor's mailbox."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops.settings")
django.setup(set_prefix=False)

from channels.routing import ChannelNameRouter, ProtocolTypeRouter  # noqa: E402  (Django must stand first)

from chat.gateway.asgi import Gateway  # noqa: E402
from instances.announce import SUPERVISOR  # noqa: E402
from instances.supervisor.mailbox import SupervisorConsumer  # noqa: E402

from .handler import Handler  # noqa: E402
from .latency import Timed  # noqa: E402
from .routing import websockets  # noqa: E402
from .threads import InKeptThreads  # noqa: E402

application = ProtocolTypeRouter(
    {
        # The gateway stands before Django: the path of a token goes without threads and middleware.
        "http": Timed(Gateway(InKeptThreads(Handler()))),
        "websocket": websockets,
        "channel": ChannelNameRouter({SUPERVISOR: SupervisorConsumer.as_asgi()}),
    }
)
