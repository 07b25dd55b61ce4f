"""Waiting for a restart by the monotonic clock, whatever happens to the machine's own clock. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from .restarts import LONGEST

TOLERANCE = dt.timedelta(seconds=2)  # by which the two clocks may differ before the shown time is put right


@dataclass(frozen=True)
class _Wait:
    known_as: tuple[dt.datetime, ...]  # the time as it was decided, and as it was shown since
    due: float  # monotonic seconds


class Waits:
    """When each wait is over. What a supervisor before this one has decided is measured from the first look at it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waits: dict[int, _Wait] = {}  # by launch id

    def look(self, launch_id: int, at: dt.datetime, now: dt.datetime) -> tuple[bool, dt.datetime]:
        """Whether the wait until `at` is over, and that time by the clock as it is now."""
        wait = self._waits.get(launch_id)
        if wait is None or at not in wait.known_as:  # new, or decided anew
            left = min(max((at - now).total_seconds(), 0.0), LONGEST)
            wait = _Wait((at,), self._clock() + left)
        left = wait.due - self._clock()
        if left <= 0:
            self._waits.pop(launch_id, None)
            return True, at
        true_time = now + dt.timedelta(seconds=left)
        if abs(true_time - at) > TOLERANCE:
            wait = _Wait((at, true_time), wait.due)
        self._waits[launch_id] = wait
        return False, wait.known_as[-1]
