"""Is a running engine busy, idle, or wedged? Told from its own counters. Pure: no clock of its own.

Slow is not dead: while any counter moves it works. Wedged is work that waits while nothing moves, for long; sooner
when its processes do not even compute.
"""

from __future__ import annotations

from enum import StrEnum

from monitoring.engine_metrics import EngineReading

WEDGED_COMPUTING = (
    300.0  # seconds; a long prompt on a CPU computes for minutes before its first token is counted
)
WEDGED_IDLE = 60.0  # seconds, while the processes use next to no processor
IDLE_CPU = 5.0  # percent of one thread


class Activity(StrEnum):
    UNKNOWN = "unknown"  # it shows no counters: --disable-log-stats, or it was not read yet
    IDLE = "idle"
    BUSY = "busy"
    WEDGED = "wedged"


class Liveness:
    """Follows one engine's readings."""

    def __init__(self) -> None:
        self.activity = Activity.UNKNOWN
        self.in_flight = 0  # requests, running and waiting
        self._counters: tuple[float | None, ...] = ()
        self._moved_at = 0.0
        self._computed_at = 0.0

    def saw(self, reading: EngineReading | None, cpu_percent: float | None, now: float) -> Activity:
        """`now` is monotonic seconds. Without a reading nothing new is known: a hung server misses its checks."""
        if cpu_percent is None or cpu_percent >= IDLE_CPU:
            self._computed_at = now
        if reading is None:
            return self.activity
        counters = (reading.generation_tokens, reading.prompt_tokens, reading.running, reading.waiting)
        in_flight = (reading.running or 0) + (reading.waiting or 0)
        if counters != self._counters or not in_flight:
            self._moved_at = now
        self._counters, self.in_flight = counters, in_flight
        if not self.in_flight:
            self.activity = Activity.IDLE
        elif self.still_for(now) >= (WEDGED_COMPUTING if self._computes(now) else WEDGED_IDLE):
            self.activity = Activity.WEDGED
        else:
            self.activity = Activity.BUSY
        return self.activity

    def still_for(self, now: float) -> float:
        """Seconds since a counter last moved, or since nothing was to be done."""
        return now - self._moved_at

    def _computes(self, now: float) -> bool:
        return now - self._computed_at < WEDGED_IDLE
