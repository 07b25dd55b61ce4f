"""The bells of this app. A message says what changed, never what it now is: who hears it re-reads."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from django.db import transaction

SUPERVISOR = "supervisor"  # channel
INSTANCES = "instances"  # group


async def ring_supervisor() -> None:
    """Somebody decided something. A lost ring costs one tick."""
    try:
        await get_channel_layer().send(SUPERVISOR, {"type": "wake"})
    except ChannelFull:
        pass  # enough rings are waiting already


async def instance_changed(instance_id: int) -> None:
    await get_channel_layer().group_send(INSTANCES, {"type": "instance.changed", "instance": instance_id})


def decided(instance_id: int) -> None:
    """When the transaction is committed: wake the supervisor, and let the pages re-read this instance."""

    async def ring() -> None:
        await ring_supervisor()
        await instance_changed(instance_id)

    transaction.on_commit(lambda: async_to_sync(ring)())
