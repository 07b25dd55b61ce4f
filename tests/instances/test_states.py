from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import User
from instances.models import Instance, Launch
from instances.services import deploy_instance
from instances.states import ENDED, LIVE, MOVES, State, may_move


def test_only_stopped_and_error_are_ends() -> None:
    assert {State.STOPPED, State.ERROR} == ENDED
    assert frozenset(State) == LIVE | ENDED


@pytest.mark.parametrize("before", State)
def test_the_table_decides_each_move(before: State) -> None:
    for after in State:
        assert may_move(before, after) == (after in MOVES[before])
    assert not may_move(before, State.INITIALIZING)


@pytest.fixture
def launch(mia: User) -> Launch:
    instance: Instance = deploy_instance(
        actor=mia, name="a", served_name="a", config={"model": "x/y"}, restart_policy="never"
    )
    return Launch.objects.create(instance=instance, revision=instance.newest_revision, host="h", port=8100)


def test_a_move_is_compare_and_set(launch: Launch) -> None:
    seen_earlier = Launch.objects.get(pk=launch.pk)
    assert Launch.objects.move(launch, State.STARTING, pid=7, started_at=timezone.now())
    assert not Launch.objects.move(seen_earlier, State.STOPPING)
    seen_earlier.refresh_from_db()
    assert (seen_earlier.state, seen_earlier.pid) == (State.STARTING, 7)


def test_a_forbidden_move_is_a_bug_and_says_so(launch: Launch) -> None:
    with pytest.raises(ValueError, match="cannot move from initializing to running"):
        Launch.objects.move(launch, State.RUNNING)


def test_a_fact_is_not_written_over_a_newer_state(launch: Launch) -> None:
    seen_earlier = Launch.objects.get(pk=launch.pk)
    Launch.objects.move(launch, State.ERROR)
    assert not Launch.objects.note(seen_earlier, phase="weights")
