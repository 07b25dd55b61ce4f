"""The WebSockets: what a page is sent while it is open, and the live log. They read, and never write."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, QueryDict
from django.utils import translation

from monitoring import latest
from monitoring.announce import GROUP as READINGS
from monitoring.cards import STALE

from .announce import INSTANCES
from .logs.hub import Hub, Viewer
from .models import Instance, Launch
from .pages import Page
from .pulse import the_pulse
from .pushes import Feed, Reader
from .query import number_in

log = logging.getLogger(__name__)

TOGETHER = 0.05  # seconds after a push in which all that is heard is one more push
READINGS_EVERY = 1.0  # seconds between two pushes of figures, at least
PATIENCE = 1.0  # seconds until a database that did not answer is asked again
LOOK_EVERY = 0.5  # seconds between two looks for a first launch
NOT_SIGNED_IN = 4401  # close codes; Daphne raises on those between 1001 and 2999
NOT_FOUND = 4404
FAULT = 4500
TRY_AGAIN_LATER = 4503


def signed_in(scope: Mapping[str, Any]) -> bool:
    user = scope.get("user")
    return user is not None and user.is_authenticated and user.is_active


def reader_of(scope: Mapping[str, Any]) -> Reader:
    """The person's language, form token and address of us, from the socket's own headers."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
    request = HttpRequest()
    request.COOKIES = dict(scope.get("cookies") or {})
    request.META["HTTP_ACCEPT_LANGUAGE"] = headers.get(b"accept-language", "")
    secure = settings.HTTPS or scope.get("scheme") in ("wss", "https")
    host = headers.get(b"host", "127.0.0.1")
    return Reader(
        language=translation.get_language_from_request(request),
        csrf_token=request.COOKIES.get(settings.CSRF_COOKIE_NAME, ""),
        address=f"{'https' if secure else 'http'}://{host}/v1",
        user=scope.get("user"),
    )


class Socket(AsyncWebsocketConsumer):
    """A WebSocket that takes its tasks along however it ends; Channels calls `disconnect` in a good end only."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.leave()

    def leave(self) -> None:
        raise NotImplementedError

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What kept the page true failed, so the socket closes: the page connects again, and reads all anew."""
        if not task.cancelled() and (error := task.exception()):
            log.error("a page could not be kept true", exc_info=error)
            self._end(FAULT)

    def _end(self, code: int) -> None:
        loop = asyncio.get_running_loop()
        self._closing = loop.create_task(self.close(code=code))  # kept, or it may be collected


class LiveConsumer(Socket):
    """Keeps one open page true. Bells only wake it: it re-reads, and sends what differs.

    The first bell of a burst is a push at once, all others are one more. A page that says `{"paused": true}` is sent
    nothing until it resumes. Where no bell can be heard, or the database does not answer, it closes: the page says so,
    connects again, and reads all anew.
    """

    _pushing: asyncio.Task[None] | None = None
    _silence: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        if not signed_in(self.scope):
            await self.close(code=NOT_SIGNED_IN)
            return
        page = Page.from_query(self.scope["query_string"].decode("latin-1"))
        self.feed = Feed(page, reader_of(self.scope))
        self.feed.readings = latest.readings()
        self._wake = asyncio.Event()
        self._changed = True
        self._measured = self._paused = False
        self._measured_at = float("-inf")
        await self.channel_layer.group_add(INSTANCES, self.channel_name)
        if self.feed.wants_readings:
            await self.channel_layer.group_add(READINGS, self.channel_name)
        await self.accept()
        self._wake.set()
        self._pushing = asyncio.create_task(self._push())
        self._pushing.add_done_callback(self._ended)
        the_pulse().watch(self._lost)
        self._wait_for_readings()

    async def disconnect(self, code: int) -> None:
        if self._pushing is not None:
            await self.channel_layer.group_discard(INSTANCES, self.channel_name)
            await self.channel_layer.group_discard(READINGS, self.channel_name)

    def leave(self) -> None:
        if self._pushing is not None:
            self._pushing.cancel()
            the_pulse().leave(self._lost)
        if self._silence is not None:
            self._silence.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = json.loads(text_data or "")
        except ValueError:
            return
        if not isinstance(message, dict) or not isinstance(message.get("paused"), bool):
            return
        self._paused = message["paused"]
        if not self._paused:
            self.feed.forget()
            self._changed = True
            self._wake.set()

    async def instance_changed(self, message: dict[str, Any]) -> None:
        self._changed = True
        self._wake.set()

    async def job_changed(self, message: dict[str, Any]) -> None:
        """Shown on few pages; what does not differ is not sent."""
        await self.instance_changed(message)

    async def readings_taken(self, message: dict[str, Any]) -> None:
        self.feed.readings = latest.hear(message["readings"])
        self.feed.waited = False
        self._measured = True
        self._wake.set()
        self._wait_for_readings()

    def _wait_for_readings(self) -> None:
        """When they stay away the page must say so, though nothing is heard that would wake it."""
        if not self.feed.wants_readings:
            return
        if self._silence is not None:
            self._silence.cancel()
        self._silence = asyncio.get_running_loop().call_later(STALE + 1, self._silent)

    def _silent(self) -> None:
        self.feed.waited = self._measured = True
        self._wake.set()

    async def _push(self) -> None:
        loop = asyncio.get_running_loop()
        rested = loop.time()
        while True:
            await self._wake.wait()
            await asyncio.sleep(rested - loop.time())
            self._wake.clear()
            rested = loop.time() + TOGETHER
            if not self._paused:
                await self._push_once()

    async def _push_once(self) -> None:
        """Send what is due; a database that does not answer is asked again."""
        try:
            if self._changed:
                self._changed = self._measured = False
                messages = await database_sync_to_async(self.feed.changed)()
            elif self._measured and self._figures_are_due():
                self._measured = False
                messages = await sync_to_async(self.feed.measured, thread_sensitive=False)()
            else:
                return
        except DatabaseError as error:
            log.warning("the database does not answer, trying again: %s", error)
            self._changed = True
            asyncio.get_running_loop().call_later(PATIENCE, self._wake.set)
            return
        for message in messages:
            await self.send(text_data=message)

    def _figures_are_due(self) -> bool:
        loop = asyncio.get_running_loop()
        wait = self._measured_at + READINGS_EVERY - TOGETHER - loop.time()
        if wait > 0:
            loop.call_later(wait, self._wake.set)
            return False
        self._measured_at = loop.time()
        return True

    def _lost(self) -> None:
        self._end(TRY_AGAIN_LATER)


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def the_hub() -> Hub:
    """The one hub of this process (of its event loop)."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        for ended in [one for one in _hubs if one.is_closed()]:
            del _hubs[ended]
        _hubs[loop] = Hub()
    return _hubs[loop]


class LogConsumer(Socket):
    """The log of a launch from `offset` on, in batches that the viewer acknowledges: `{"ack": seq}`.

    `launch` may name an older one. An instance that was not launched yet is waited for. It hears no bells, so that
    a log goes on while Redis is away.
    """

    channel_layer_alias = ""  # none
    viewer: Viewer | None = None
    reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        if not signed_in(self.scope):
            await self.close(code=NOT_SIGNED_IN)
            return
        query = QueryDict(self.scope["query_string"])
        self._instance = self.scope["url_route"]["kwargs"]["instance_id"]
        self._launch = number_in(query.get("launch"))
        self._offset = number_in(query.get("offset"))
        if not await database_sync_to_async(self._exists)():
            await self.close(code=NOT_FOUND)
            return
        await self.accept()
        self.reading = asyncio.create_task(self._read())
        self.reading.add_done_callback(self._ended)

    def leave(self) -> None:
        if self.viewer is not None:
            self.viewer.close()
        if self.reading is not None:
            self.reading.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = json.loads(text_data or "")
        except ValueError:
            return
        seq = message.get("ack") if isinstance(message, dict) else None
        if self.viewer is not None and isinstance(seq, int):
            self.viewer.ack(seq)

    async def dispatch(self, message: Any) -> None:
        """An acknowledgement needs no database, after whose connections Channels would look at each."""
        if message["type"] == "websocket.receive":
            await self.websocket_receive(message)
        else:
            await super().dispatch(message)

    async def _read(self) -> None:
        launch = None
        while launch is None:
            with suppress(DatabaseError):
                launch = await database_sync_to_async(self._find)()
            if launch is None:
                await asyncio.sleep(LOOK_EVERY)
        self.viewer = the_hub().view(launch.directory, self._offset)
        async for batch in self.viewer:
            await self.send(text_data=batch.encoded)

    def _exists(self) -> bool:
        if self._launch:
            return Launch.objects.filter(pk=self._launch, instance_id=self._instance).exists()
        return Instance.objects.visible().filter(pk=self._instance).exists()

    def _find(self) -> Launch | None:
        launches = Launch.objects.filter(instance_id=self._instance)
        return launches.filter(pk=self._launch).first() if self._launch else launches.order_by("-pk").first()
