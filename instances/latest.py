"""The newest readings that this web process has heard, so that a page can be drawn with numbers at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.sampler import Readings

FRESH = timedelta(seconds=10)  # older ones are no numbers of now
_heard: Readings | None = None


def hear(readings: Readings) -> None:
    global _heard
    _heard = readings


def readings() -> Readings | None:
    """None when nothing was heard lately: nobody had a live page open, or nobody measures."""
    fresh = _heard is not None and datetime.now(UTC) - _heard.at < FRESH
    return _heard if fresh else None
