"""The bells of this app. A message says what changed, never what it now is: who hears it re-reads."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction


def answer_group(message_id: int) -> str:
    """What the stream that writes this answer listens to."""
    return f"answer.{message_id}"


def answer_decided(message_id: int) -> None:
    """When the transaction is committed: the stream that writes this answer must look at its row again."""

    async def ring() -> None:
        layer = get_channel_layer()
        assert layer is not None
        await layer.group_send(answer_group(message_id), {"type": "answer.decided"})

    transaction.on_commit(lambda: async_to_sync(ring)())
