"""Whether the database answers, asked once for all pages that a web process keeps open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pulse")  # never behind the pages' own queries


class Pulse:
    """Calls those who watch, once, when the database does not answer: their pages only look true.

    It asks while somebody watches, and no longer.
    """

    def __init__(self) -> None:
        self._watching: set[Callable[[], None]] = set()
        self._asking: asyncio.Task[None] | None = None

    def watch(self, lost: Callable[[], None]) -> None:
        self._watching.add(lost)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    def leave(self, lost: Callable[[], None]) -> None:
        self._watching.discard(lost)

    async def _ask(self) -> None:
        while self._watching:
            try:
                await sync_to_async(answers, thread_sensitive=False, executor=_thread)()
            except (DatabaseError, InterfaceError) as error:
                log.warning(
                    "the database does not answer, pages connect again: %s", str(error).partition("\n")[0]
                )
                watching, self._watching = self._watching, set()
                for lost in watching:
                    lost()
            await asyncio.sleep(EVERY)


def answers() -> None:
    """Raises DatabaseError when it does not."""
    close_old_connections()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        close_old_connections()


_pulses: dict[asyncio.AbstractEventLoop, Pulse] = {}


def the_pulse() -> Pulse:
    """The one of this process (of its event loop)."""
    loop = asyncio.get_running_loop()
    if loop not in _pulses:
        for ended in [one for one in _pulses if one.is_closed()]:
            del _pulses[ended]
        _pulses[loop] = Pulse()
    return _pulses[loop]
