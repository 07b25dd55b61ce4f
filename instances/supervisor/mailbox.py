"""The supervisor's mailbox: a Channels consumer that hears the bell, and the worker that carries it."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer
from channels.worker import Worker

from instances.announce import SUPERVISOR
from instances.away import LayerAway

from .loop import Supervisor

AGAIN = 0.5  # seconds until a Redis that is away is listened to again


class SupervisorConsumer(AsyncConsumer):
    """Hands each bell over and returns at once; it never awaits slow work and never raises."""

    channel_layer_alias = ""  # none: it needs no channel of its own, which would end it when Redis is away
    supervisor: ClassVar[Supervisor | None] = None  # outlives the consumer, which Channels may replace

    async def wake(self, message: dict[str, Any]) -> None:
        if self.supervisor is not None:
            self.supervisor.ring()


class SupervisorWorker(Worker):
    """A Channels worker for the `supervisor` channel, with the supervisor itself as a task beside it.

    Channels makes a consumer only at its first message, so the supervisor is started here, at boot.
    """

    application_checker_interval = 1.0  # seconds; asgiref's tenth would be most of what an idle console does

    def __init__(self, application: Any, channels: Any = (SUPERVISOR,), **kwargs: Any) -> None:
        super().__init__(application, channels=list(channels), **kwargs)

    async def handle(self) -> None:
        """Supervise and listen until cancelled; a dead part ends the whole, so that it is noticed."""
        supervisor = SupervisorConsumer.supervisor = Supervisor()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run())
            tasks.create_task(super().handle())

    async def listener(self, channel: str) -> None:
        """Channels' own, through an outage of Redis: the supervisor then lives by its ticks alone."""
        while True:
            try:
                await super().listener(channel)
            except LayerAway:
                await asyncio.sleep(AGAIN)
                if SupervisorConsumer.supervisor is not None:
                    SupervisorConsumer.supervisor.ring()  # for those that were lost
