"""How Django answers a request: static files on the event loop, everything else in one thread from end to end."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase
from servestatic.middleware import ServeStaticMiddleware


class Handler(ASGIHandler):
    """Django's own, which calls the chain of middleware in the view's thread.

    Django calls an asynchronous chain from its loop and changes threads twice for each middleware that wants one,
    which was a third of the time of a short answer. A stream is still read on the loop: only its head is made here.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)
        self._files_first = ServeStaticMiddleware(self._answer)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self._files_first(request)
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)
