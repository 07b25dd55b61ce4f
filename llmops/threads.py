"""The threads in which Django answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

Asgi = Any  # an ASGI application: the packages that make them do not agree on its type
KEPT = 8  # threads, and database connections, for requests to come


class InKeptThreads:
    """Lends each request a thread that has served before, with its open database connection.

    By itself Django begins a thread for each request and connects to the database anew, which took longer than the
    queries of most answers. There are as many threads as there are requests at once, and few remain.
    """

    def __init__(self, inside: Asgi) -> None:
        self._inside = inside
        self._free: list[ThreadPoolExecutor] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        thread = self._free.pop() if self._free else ThreadPoolExecutor(1, thread_name_prefix="request")
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self._inside(scope, receive, send)
        finally:
            if len(self._free) < KEPT:
                self._free.append(thread)
            else:
                thread.shutdown(wait=False)
