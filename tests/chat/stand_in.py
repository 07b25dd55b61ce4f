"""A stand-in for an engine's HTTP side that says only what the test tells it to, when the test tells it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

DONE = b"data: [DONE]\n\n"
BREAK = b"break off"


@dataclass
class Asked:
    """One request, as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)  # the client, before the end

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class StandIn:
    """Each request streams what `say` gives until `end`; or, with `reply` set, gets that."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self.reply: Callable[[], web.Response] | None = None
        self.port = 0
        self._words: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __aenter__(self) -> StandIn:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    def say_bytes(self, data: bytes) -> None:
        self._words.put_nowait(data)

    def say(self, text: str = "", **delta: Any) -> None:
        chunk = {"choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": None}]}
        self.say_bytes(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def finish(self, *, text: str = "", reason: str = "stop", tokens: int = 3) -> None:
        """The last chunk, the usage, [DONE], and the end."""
        last = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 17, "completion_tokens": tokens}}
        for chunk in (last, usage):
            self.say_bytes(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.say_bytes(DONE)
        self.cut()

    def cut(self) -> None:
        """End the answer here, whatever was said."""
        self._words.put_nowait(None)

    def break_off(self) -> None:
        """Cut the connection in the middle of the answer, as an engine that dies does."""
        self._words.put_nowait(BREAK)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.path, dict(request.headers), await request.read())
        self.asked.append(asked)
        self.arrived.set()
        if self.reply is not None:
            return self.reply()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        try:
            await response.prepare(request)
            while (words := await self._words.get()) is not None:
                if words == BREAK and request.transport is not None:
                    request.transport.abort()
                    return response
                await response.write(words)
        except (asyncio.CancelledError, ConnectionError):
            asked.left.set()
            raise
        return response
