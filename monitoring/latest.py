"""The newest readings that this process has heard, and a look of our own for when nobody measures."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from monitoring.gpu import GpuReadings
from monitoring.host import HostReader, HostReading
from monitoring.models import Snapshot
from monitoring.nvml import GpuReader
from monitoring.sampler import Readings

FRESH = timedelta(seconds=10)  # older ones are no numbers of now
PATIENCE = 1.0  # seconds that a page waits for a driver that may be dying
_heard: Readings | None = None
_text = ""
_host_reader = HostReader(Path(settings.LLMOPS_DATA), settings.LLMOPS_MODEL_ROOTS)
_gpu_reader = GpuReader()
_one_at_a_time = threading.Lock()


def hear(text: str, readings: Readings | None = None) -> Readings:
    """Take in what was sent to all who listen; it is read once, however many of them are in this process."""
    global _heard, _text
    if _heard is None or text != _text:
        _heard, _text = readings or Readings.from_text(text), text
    return _heard


def readings() -> Readings | None:
    """None when nothing was heard lately: nobody measures."""
    fresh = _heard is not None and datetime.now(UTC) - _heard.at < FRESH
    return _heard if fresh else None


def newest() -> Readings | None:
    """As `readings`; a process that has heard none looks into the database, where the last tick left them."""
    if found := readings():
        return found
    snapshot = Snapshot.objects.first()
    if snapshot is None:
        return None
    found = Readings.from_text(snapshot.readings)
    return found if datetime.now(UTC) - found.at < FRESH else None


def host() -> HostReading:
    found = readings()
    return (found and found.host) or host_now()


def gpus() -> GpuReadings | None:
    """None when the driver does not answer."""
    found = readings()
    return (found and found.gpus) or gpus_now()


def host_now() -> HostReading:
    """Raises OSError or psutil.Error where the system does not let us look at all."""
    return _host_reader.read()


def gpus_now() -> GpuReadings | None:
    """None when the driver does not answer in time: a look may hang in one that is dying."""
    found: list[GpuReadings] = []

    def look() -> None:
        if _one_at_a_time.acquire(blocking=False):
            try:
                found.append(_gpu_reader.read())
            finally:
                _one_at_a_time.release()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else None
