"""A client's connection to an ASGI application: what a server would hand it, and what it sends back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

WITHIN = 10.0  # seconds
Message = dict[str, Any]
Application = Callable[..., Awaitable[None]]  # of ASGI: scope, receive, send


class Connection:
    """One request. Reading waits for the application, and gives up after a while; nothing is polled."""

    def __init__(
        self, app: Application, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> None:
        self._app = app
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self._body = body
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    def open(self) -> None:
        self._to_app.put_nowait({"type": "http.request", "body": self._body, "more_body": False})
        self._running = asyncio.ensure_future(self._app(self.scope, self._to_app.get, self._from_app.put))

    async def next(self) -> Message:
        """What the application sends next; its exception when it raised one."""
        reading = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({reading, self._running}, timeout=WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done() and self._running.done():
            self._running.result()
            await asyncio.sleep(0)
        if not reading.done():
            reading.cancel()
            raise AssertionError("the application sent nothing more")
        return reading.result()

    async def ended(self) -> None:
        async with asyncio.timeout(WITHIN):
            await self._running

    def leave(self) -> None:
        self._to_app.put_nowait({"type": "http.disconnect"})
