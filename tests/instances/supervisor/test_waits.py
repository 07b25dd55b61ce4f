"""Row 19: the clock jumps an hour either way, and nothing restarts."""

from __future__ import annotations

import datetime as dt

import pytest

from instances.supervisor.waits import Waits

NOON = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("jump", [dt.timedelta(hours=1), -dt.timedelta(hours=1)])
def test_the_wait_is_as_long_as_it_was_decided_whatever_the_clock_says(jump: dt.timedelta) -> None:
    clock = Clock()
    waits = Waits(clock)
    at = NOON + 10 * SECOND
    assert waits.look(7, at, NOON) == (False, at)
    clock.now += 4
    is_due, shown = waits.look(7, at, NOON + 4 * SECOND + jump)
    assert not is_due and shown == at + jump
    clock.now += 5
    assert waits.look(7, shown, NOON + 9 * SECOND + jump) == (False, shown)
    clock.now += 2
    assert waits.look(7, shown, NOON + 11 * SECOND + jump)[0]


def test_a_wait_that_is_decided_anew_counts_anew() -> None:
    clock = Clock()
    waits = Waits(clock)
    waits.look(7, NOON + 10 * SECOND, NOON)
    assert waits.look(7, NOON, NOON)[0]


def test_after_a_jump_while_nobody_watched_it_is_never_longer_than_the_longest_delay() -> None:
    clock = Clock()
    waits = Waits(clock)
    at = NOON + dt.timedelta(hours=1)
    is_due, shown = waits.look(7, at, NOON)
    assert not is_due and shown == NOON + 375 * SECOND
    assert not waits.look(7, at, NOON)[0]  # the time that is shown could not be written down
    clock.now += 376
    assert waits.look(7, at, NOON)[0]
