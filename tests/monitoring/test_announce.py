import asyncio
from datetime import UTC, datetime

import pytest
from channels.layers import InMemoryChannelLayer
from redis.exceptions import ConnectionError as RedisConnectionError

from monitoring import announce
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


@pytest.mark.parametrize("error", [RedisConnectionError("gone"), ConnectionResetError("gone")])
def test_a_layer_out_of_reach_costs_only_the_reading(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:  # row 18: Redis is killed
    class Gone(InMemoryChannelLayer):
        async def group_send(self, group: str, message: dict[str, object]) -> None:
            raise error

    monkeypatch.setattr(announce, "get_channel_layer", Gone)
    asyncio.run(announce.readings_taken(READINGS))
