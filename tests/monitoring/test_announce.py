import asyncio
from datetime import UTC, datetime

import pytest
from channels.layers import InMemoryChannelLayer

from monitoring import announce, latest
from monitoring.sampler import Readings

READINGS = Readings(None, None, {}, datetime.now(UTC))


def test_readings_reach_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = InMemoryChannelLayer()
    monkeypatch.setattr(announce, "get_channel_layer", lambda: layer)

    async def play() -> dict[str, object]:
        await layer.group_add("readings", "viewer")
        await announce.readings_taken(READINGS)
        async with asyncio.timeout(20):
            message: dict[str, object] = await layer.receive("viewer")
        return message

    assert asyncio.run(play()) == {"type": "readings.taken", "readings": READINGS.to_text()}


def test_this_process_has_heard_them_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "get_channel_layer", lambda: None)
    now = Readings(None, None, {}, datetime.now(UTC))
    asyncio.run(announce.readings_taken(now))
    assert latest.readings() is now
