"""The WebSockets of this app; Channels routes ASGI applications with Django's `path`."""

from typing import Any

from django.urls import path

from .consumers import LiveConsumer, LogConsumer

websocket_urlpatterns: list[Any] = [
    path("ws/live/", LiveConsumer.as_asgi()),  # type: ignore[arg-type]
    path("api/models/ws/logs/<int:instance_id>", LogConsumer.as_asgi()),  # type: ignore[arg-type]
]
