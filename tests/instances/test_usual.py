from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from instances.models import Launch
from instances.states import State
from instances.usual import Usual, starts_of
from tests.instances.made import MODEL, make_instance, make_launch

NOW = timezone.now()
USUAL = Usual(dt.timedelta(seconds=100), {"import": 10.0, "weights": 60.0, "compile": 25.0, "warm_up": 5.0})


def started(seconds_ago: float, phase: str, **spent: float) -> Launch:
    phases = {"seen": list(spent), "seconds": spent}
    return Launch(started_at=NOW - dt.timedelta(seconds=seconds_ago), phase=phase, phases=phases)


@pytest.mark.parametrize(
    ("launch", "left"),
    [
        (Launch(), 100.0),
        (started(2, "import", **{"import": 2.0}), 98.0),
        (started(30, "weights", **{"import": 12.0, "weights": 1.0}), 60 - 18 + 25 + 5.0),
        (
            started(300, "weights", **{"import": 12.0, "weights": 1.0}),
            30.0,
        ),  # slower: the rest is still ahead
        (started(50, "compile", **{"import": 5.0, "weights": 30.0, "compile": 1.0}), 10 + 5.0),
        (started(20, "warm_up", **{"import": 5.0, "weights": 10.0, "warm_up": 0.0}), 0.0 + 25.0),
    ],
)
def test_what_is_left_is_the_rest_of_this_phase_and_all_that_are_ahead(launch: Launch, left: float) -> None:
    assert USUAL.left(launch, NOW).total_seconds() == pytest.approx(left)


def test_it_is_learned_from_the_last_starts_of_the_same_model(
    mia: User, django_assert_num_queries: Any
) -> None:
    instance = make_instance(mia, running=False)
    for weights in (500, *[50] * 3, *[60] * 4):  # the oldest no longer counts
        facts = {"seen": ["import", "weights"], "seconds": {"import": 10.0, "weights": float(weights)}}
        ready = NOW + dt.timedelta(seconds=10 + weights)
        make_launch(instance, State.STOPPED, created=NOW, started_at=NOW, ready_at=ready, phases=facts)
    make_launch(instance, State.ERROR, created=NOW, started_at=NOW)
    with django_assert_num_queries(1):
        found = starts_of({MODEL, "another/model"})
    assert found == {MODEL: Usual(dt.timedelta(seconds=70), {"import": 10.0, "weights": 60.0})}
    assert starts_of(()) == {}
