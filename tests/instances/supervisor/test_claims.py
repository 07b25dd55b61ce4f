from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from instances.models import Launch
from instances.states import State
from instances.supervisor import claims
from tests.instances.made import make_instance, make_launch


@pytest.mark.parametrize(
    ("config", "accelerator", "gpus"),
    [
        ({}, "cpu", []),
        ({}, "cuda", [0]),
        ({"tensor_parallel_size": 2}, "cuda", [0, 1]),
        ({"gpus": [3, 1], "tensor_parallel_size": 2}, "cuda", [3, 1]),
        ({"gpus": [2, 3]}, "cuda", [2]),
        ({"args": {"tensor-parallel-size": 2, "pipeline_parallel_size": "2"}}, "cuda", [0, 1, 2, 3]),
        ({"args": {"tensor-parallel-size": "many"}}, "cuda", [0]),
    ],
)
def test_an_engine_claims_as_many_gpus_as_it_has_ranks(
    config: dict[str, Any], accelerator: str, gpus: list[int]
) -> None:
    assert claims.gpus_of(config, accelerator) == gpus


def launch_on(owner: User, name: str, state: State, gpus: list[int], **config: Any) -> Launch:
    return make_launch(make_instance(owner, name, **config), state, gpus=gpus)


def test_one_start_per_gpu_at_a_time(mia: User) -> None:
    # row 21
    new = launch_on(mia, "new", State.INITIALIZING, [1])
    other = launch_on(mia, "other", State.STARTING, [0, 1])
    assert claims.waits_for(new, [new, other]) == (
        "Waits until other has started: one start per GPU at a time."
    )
    other.state = State.RUNNING
    assert claims.waits_for(new, [new, other]) == ""
    elsewhere = launch_on(mia, "elsewhere", State.STARTING, [2])
    assert claims.waits_for(new, [new, elsewhere]) == ""


def test_few_start_at_once_on_the_whole_host(mia: User, settings: Any) -> None:
    settings.STARTS_AT_ONCE = 2
    new = launch_on(mia, "new", State.INITIALIZING, [])
    others = [launch_on(mia, name, State.STARTING, []) for name in "ab"]
    assert claims.waits_for(new, others[:1]) == ""
    assert claims.waits_for(new, others) == "Waits its turn: 2 others are starting."


@pytest.mark.parametrize(
    ("mine", "theirs", "crowded"),
    [
        ({}, {}, True),
        ({"gpu_memory_utilization": 0.5}, {"gpu_memory_utilization": 0.5}, False),
        ({"gpu_memory_utilization": 0.6}, {"gpu_memory_utilization": 0.5}, True),
        ({"args": {"kv_cache_memory_bytes": "4G"}}, {}, False),
        ({}, {"args": {"kv-cache-memory-bytes": "4G"}}, False),
    ],
)
def test_shares_of_one_gpu_may_not_be_more_than_the_whole(
    mia: User, mine: dict[str, Any], theirs: dict[str, Any], crowded: bool
) -> None:
    new = launch_on(mia, "new", State.INITIALIZING, [0], **mine)
    other = launch_on(mia, "other", State.RUNNING, [0], **theirs)
    assert claims.crowded(new, [new, other]) == ((0, [other]) if crowded else None)


def test_of_two_that_have_not_begun_the_older_one_has_the_gpu(mia: User) -> None:
    older = launch_on(mia, "older", State.INITIALIZING, [0])
    newer = launch_on(mia, "newer", State.INITIALIZING, [0])
    assert claims.crowded(older, [older, newer]) is None
    assert claims.crowded(newer, [older, newer]) == (0, [older])
