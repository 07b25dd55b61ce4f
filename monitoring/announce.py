"""The bells of monitoring. Readings are gone a second later, so they travel in the message itself."""

import logging

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from monitoring import latest
from monitoring.sampler import Readings

GROUP = "readings"

logger = logging.getLogger(__name__)


async def readings_taken(readings: Readings) -> None:
    """Sends the readings to whoever shows them. A layer that is out of reach costs this one reading."""
    layer = get_channel_layer()
    if layer is None:
        return
    text = readings.to_text()
    latest.hear(text, readings)
    try:
        await layer.group_send(GROUP, {"type": "readings.taken", "readings": text})
    except (OSError, RedisError) as error:
        logger.info("Readings were not sent: %s", error)
