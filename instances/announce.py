"""The bells of this app. A message says what changed, never what it now is: who hears it re-reads."""

from __future__ import annotations

from contextlib import suppress

from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction

SUPERVISOR = "supervisor"  # channel
INSTANCES = "instances"  # group


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None  # the settings always name one
    return layer


async def ring_supervisor() -> None:
    """Somebody decided something. A lost ring costs one tick; when the mailbox is full, enough are waiting."""
    with suppress(ChannelFull):
        await _layer().send(SUPERVISOR, {"type": "wake"})


async def instance_changed(instance_id: int) -> None:
    await _layer().group_send(INSTANCES, {"type": "instance.changed", "instance": instance_id})


def decided(instance_id: int) -> None:
    """When the transaction is committed: wake the supervisor, and let the pages re-read this instance."""

    async def ring() -> None:
        await ring_supervisor()
        await instance_changed(instance_id)

    transaction.on_commit(lambda: async_to_sync(ring)())


async def job_changed(job_id: int) -> None:
    await _layer().group_send(INSTANCES, {"type": "job.changed", "job": job_id})


def job_decided(job_id: int) -> None:
    """When the transaction is committed: wake the supervisor, and let the pages re-read this job."""

    async def ring() -> None:
        await ring_supervisor()
        await job_changed(job_id)

    transaction.on_commit(lambda: async_to_sync(ring)())
