"""The threads in which Django answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

Asgi = Any  # an ASGI application: the packages that make them do not agree on its type
KEPT = 8  # threads, and database connections, for requests to come


class _Thread(ThreadPoolExecutor):
    """One thread, that knows whether it still works for somebody who has left."""

    _newest: Future[Any] | None = None

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="request")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._newest = super().submit(fn, *args, **kwargs)
        return self._newest

    @property
    def is_idle(self) -> bool:
        return self._newest is None or self._newest.done()


class InKeptThreads:
    """Lends each request a thread that has served before, with its open database connection.

    By itself Django begins a thread for each request and connects to the database anew, which took longer than the
    queries of most answers. There are as many threads as there are requests at once, and few remain.
    """

    def __init__(self, inside: Asgi) -> None:
        self._inside = inside
        self._free: list[_Thread] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        thread = self._free.pop() if self._free else _Thread()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self._inside(scope, receive, send)
        finally:
            if thread.is_idle and len(self._free) < KEPT:
                self._free.append(thread)
            else:
                thread.shutdown(wait=False)  # it ends by itself when its work is done
