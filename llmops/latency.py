"""How long this process takes to answer, by route, for our Prometheus page."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.urls import Resolver404, resolve
from prometheus_client import Histogram

from chat.gateway.asgi import MODELS, RELAYED

Asgi = Any  # an ASGI application: the packages that make them do not agree on its type
EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
GATEWAY = {*RELAYED, MODELS}
METHODS = {"GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT"}

latency = Histogram(
    "llmops_http_first_byte_seconds",
    "Seconds until the first byte of an answer, by route",
    ["route", "method", "status"],
    buckets=EDGES,
    registry=None,
)


class Timed:
    """Times what it passes on, up to the head of the answer: nothing is done for the rest of a stream."""

    def __init__(self, inside: Asgi) -> None:
        self._inside = inside

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        began = time.perf_counter()

        async def timed(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                labels = (route_of(scope["path"]), method, f"{message['status'] // 100}xx")
                latency.labels(*labels).observe(time.perf_counter() - began)
            await send(message)

        await self._inside(scope, receive, timed)


@lru_cache(maxsize=1024)
def route_of(path: str) -> str:
    """The pattern that a path belongs to, never the path itself: there are few of them, and none is anybody's."""
    if path in GATEWAY:
        return path
    if path.startswith(settings.STATIC_URL):
        return settings.STATIC_URL
    try:
        return f"/{resolve(path).route}"
    except Resolver404:
        return "unknown"
