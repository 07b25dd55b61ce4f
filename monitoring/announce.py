"""The bells of monitoring. Readings are gone a second later, so they travel in the message itself."""

from channels.layers import get_channel_layer

from monitoring import latest
from monitoring.sampler import Readings

GROUP = "readings"


async def readings_taken(readings: Readings) -> None:
    """Sends the readings to whoever shows them. The layer sees to it that this never fails nor waits for long."""
    text = readings.to_text()
    latest.hear(text, readings)
    layer = get_channel_layer()
    if layer is not None:
        await layer.group_send(GROUP, {"type": "readings.taken", "readings": text})
