"""When a failed launch is tried again. Pure: no clock, no database, no dice of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW = dt.timedelta(minutes=30)  # failures older than this no longer count
SETTLED = dt.timedelta(minutes=10)  # RUNNING for so long wipes the slate
LONGEST_DELAY = 300.0  # seconds
JITTER = 0.25
LONGEST = LONGEST_DELAY * (1 + JITTER)  # seconds


@dataclass(frozen=True)
class Ending:
    """How an earlier launch ended."""

    ended_at: dt.datetime
    ran_for: dt.timedelta  # RUNNING, from ready to its end


@dataclass(frozen=True)
class Restart:
    at: dt.datetime
    attempt: int  # 1 is the first one after a failure


def next_restart(
    failures: Sequence[Ending], *, now: dt.datetime, budget: int, jitter: float
) -> Restart | None:
    """The next attempt after `failures` (newest first, since a person last asked), or None when the budget is spent.

    Delay min(10 * 2^(n-1), 300) s, stretched by `jitter` (-0.25 to 0.25), from `now` on: when the engine ended was
    told by its shim, and the clock may have been set since.
    """
    newest = failures[0]
    counted = 0
    for failure in failures:
        if newest.ended_at - failure.ended_at > WINDOW:
            break
        counted += 1
        if failure.ran_for >= SETTLED:
            break
    if counted > budget:
        return None
    delay = min(10.0 * 2 ** (counted - 1), LONGEST_DELAY) * (1 + jitter)
    return Restart(at=now + dt.timedelta(seconds=delay), attempt=counted)
