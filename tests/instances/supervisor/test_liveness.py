from __future__ import annotations

from dataclasses import replace

from instances.supervisor.liveness import Activity, Liveness
from monitoring.engine_metrics import EngineReading

IDLE = EngineReading(0, 0, 0.0, 100.0, 200.0, None, None, None)
WORKING = replace(IDLE, running=1, waiting=2)


def test_an_engine_without_requests_is_idle_for_ever() -> None:
    liveness = Liveness()
    assert [liveness.saw(IDLE, 0.5, at) for at in (0.0, 1_000.0, 90_000.0)] == [Activity.IDLE] * 3


def test_slow_is_not_dead_while_a_counter_moves() -> None:
    liveness = Liveness()
    for minute in range(60):
        reading = replace(WORKING, generation_tokens=200.0 + minute // 4)  # a token every four minutes
        assert liveness.saw(reading, 100.0, minute * 60.0) == Activity.BUSY


def test_requests_that_wait_while_nothing_moves_and_nothing_computes_are_wedged() -> None:
    liveness = Liveness()
    assert liveness.saw(WORKING, 100.0, 0.0) == Activity.BUSY
    assert liveness.saw(WORKING, 0.5, 59.0) == Activity.BUSY
    assert liveness.saw(WORKING, 0.5, 61.0) == Activity.WEDGED
    assert (liveness.in_flight, liveness.still_for(61.0)) == (3, 61.0)


def test_a_long_prompt_may_compute_for_minutes_before_its_first_token() -> None:
    liveness = Liveness()
    assert [liveness.saw(WORKING, 100.0, float(at)) for at in range(0, 290, 10)][-1] == Activity.BUSY
    assert liveness.saw(WORKING, 100.0, 301.0) == Activity.WEDGED


def test_a_counter_that_moves_again_ends_it() -> None:
    liveness = Liveness()
    liveness.saw(WORKING, 0.0, 0.0)
    assert liveness.saw(WORKING, 0.0, 100.0) == Activity.WEDGED
    assert liveness.saw(replace(WORKING, generation_tokens=201.0), 0.0, 101.0) == Activity.BUSY


def test_the_time_before_a_request_came_does_not_count() -> None:
    liveness = Liveness()
    liveness.saw(IDLE, 0.0, 0.0)
    liveness.saw(IDLE, 0.0, 1_000.0)
    assert liveness.saw(WORKING, 0.0, 1_001.0) == Activity.BUSY


def test_without_counters_nothing_is_claimed() -> None:
    liveness = Liveness()
    assert liveness.saw(None, 0.0, 0.0) == Activity.UNKNOWN
    assert liveness.saw(None, 0.0, 9_000.0) == Activity.UNKNOWN


def test_a_busy_engine_whose_counters_come_too_late_is_not_taken_for_wedged() -> None:
    liveness = Liveness()
    liveness.saw(WORKING, 100.0, 0.0)
    assert liveness.saw(None, 100.0, 9_000.0) == Activity.BUSY
