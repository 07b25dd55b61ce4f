"""The channel layer of several processes: Channels' own over Redis, where a message is only a bell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from channels_redis.core import RedisChannelLayer
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .away import LayerAway

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds that whoever rings a bell waits for a Redis that does not answer
LOST = (RedisError, OSError)


class BellLayer(RedisChannelLayer):  # type: ignore[misc]  # the package carries no types
    """Guarantees that who rings is never failed by Redis, nor held up for more than a second: what they say
    stands in the database already. Who listens is told with LayerAway, so that a page can say it is not live.
    """

    def __init__(self, hosts: list[str], **options: Any) -> None:
        connection = {
            # One second more than `receive` waits for a message. The client's own default is just as long as
            # that wait, so that a quiet channel would now and then be taken for a dead Redis.
            "socket_timeout": self.brpop_timeout + 1,
            "socket_connect_timeout": PATIENCE,
            "retry": Retry(NoBackoff(), 1),  # a connection of before Redis came back is replaced, unnoticed
        }
        super().__init__(hosts=[{"address": address, **connection} for address in hosts], **options)
        self._away = False

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._ring(super().send(channel, message))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._ring(super().group_send(group, message))

    async def group_discard(self, group: str, channel: str) -> None:
        await self._ring(super().group_discard(group, channel))

    async def group_add(self, group: str, channel: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await super().group_add(group, channel)
        except LOST as error:
            raise LayerAway(str(error)) from error

    async def receive(self, channel: str) -> dict[str, Any]:
        try:
            message: dict[str, Any] = await super().receive(channel)
        except LOST as error:
            self._say(away=True, why=error)
            raise LayerAway(str(error)) from error
        self._say(away=False)
        return message

    async def _clean_receive_backup(self, index: int, channel: str) -> None:
        with suppress(*LOST):  # nobody awaits it; what is left over is heard a second time
            await super()._clean_receive_backup(index, channel)

    async def _ring(self, ringing: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await ringing
        except LOST as error:
            self._say(away=True, why=error)
        else:
            self._say(away=False)

    def _say(self, *, away: bool, why: BaseException | None = None) -> None:
        """One line when it goes and one when it comes back, however many bells are lost in between."""
        if away and not self._away:
            log.warning("Redis does not answer, bells are lost: %s", why)
        elif self._away and not away:
            log.warning("Redis answers again")
        self._away = away
