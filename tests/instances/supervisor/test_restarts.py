from __future__ import annotations

import datetime as dt

from instances.supervisor.restarts import Ending, next_restart

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def failures(*minutes_ago: float, ran_for: float = 0.0) -> list[Ending]:
    return [Ending(NOW - dt.timedelta(minutes=ago), dt.timedelta(minutes=ran_for)) for ago in minutes_ago]


def delay_after(*minutes_ago: float, jitter: float = 0.0) -> float | None:
    restart = next_restart(failures(*minutes_ago), now=NOW, budget=5, jitter=jitter)
    return (restart.at - NOW).total_seconds() if restart else None


# row 12: a crash loop backs off, then stays ERROR until a person acts
def test_the_delay_doubles_and_the_budget_ends_it() -> None:
    assert [delay_after(*range(n)) for n in range(1, 7)] == [10, 20, 40, 80, 160, None]


def test_the_jitter_stretches_the_delay() -> None:
    assert (delay_after(0, jitter=0.25), delay_after(0, jitter=-0.25)) == (12.5, 7.5)


def test_old_failures_no_longer_count() -> None:
    assert delay_after(0, 31, 32, 33, 34, 35) == 10


def test_a_run_of_ten_minutes_wipes_the_slate() -> None:
    settled = [*failures(0), *failures(1, ran_for=10), *failures(2, 3, 4, 5)]
    restart = next_restart(settled, now=NOW, budget=5, jitter=0)
    assert restart is not None and restart.attempt == 2


def test_the_delay_counts_from_now_whatever_clock_the_end_was_told_by() -> None:
    # row 19: the clock was set forward an hour since the engine ended
    restart = next_restart(failures(60), now=NOW, budget=5, jitter=0)
    assert restart is not None and (restart.at - NOW).total_seconds() == 10
