"""The design that `benchmarks.logs` compares ours with: one message to a group for every line of a log.

Runs under Daphne with Channels' in-memory layer as it comes. The log's directory is LOG_DIRECTORY.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import BaseChannelLayer
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="of a benchmark",
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    )

LOG = Path(os.environ.get("LOG_DIRECTORY", ".")) / "log"
GROUP = "log"


class NaiveConsumer(AsyncWebsocketConsumer):
    """Everybody joins the group; the first one begins the tail."""

    tail: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        if NaiveConsumer.tail is None:
            NaiveConsumer.tail = asyncio.create_task(follow(self.channel_layer))

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def log_line(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message["line"]))


async def follow(layer: BaseChannelLayer) -> None:
    """Every line to everybody, as soon as it is seen."""
    offset = 0
    with LOG.open("rb") as file:
        while True:
            for raw in file.readlines():
                time, _, text = raw.decode("utf-8", "replace").rstrip("\n").partition(" ")
                line = {"offset": offset, "time": time, "level": "info", "text": text}
                offset += len(raw)
                await layer.group_send(GROUP, {"type": "log.line", "line": line})
            await asyncio.sleep(0.01)


application = NaiveConsumer.as_asgi()
