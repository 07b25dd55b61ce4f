from __future__ import annotations

import pytest

from instances.supervisor.progress import Look, Progress

FIRST = Look(
    phase="compile", counted=(1, 4), cpu_percent=1.0, io_bytes=10_000, gpu_percent=0.0, gpu_memory=2**30
)


def still_after(second: Look) -> float:
    progress = Progress(0.0)
    progress.saw(FIRST, 10.0)
    progress.saw(FIRST, 20.0)
    progress.saw(second, 70.0)
    return progress.still_for(100.0)


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(Look(**vars(FIRST) | {"phase": "graphs"}), id="a new phase"),
        pytest.param(Look(**vars(FIRST) | {"counted": (2, 4)}), id="a new count, as of a download"),
        pytest.param(Look(**vars(FIRST) | {"cpu_percent": 95.0}), id="a silent compile computes"),
        pytest.param(
            Look(**vars(FIRST) | {"io_bytes": 10_000 + 2**21}), id="weights are read from a slow disk"
        ),
        pytest.param(Look(**vars(FIRST) | {"gpu_percent": 40.0}), id="its GPU works"),
        pytest.param(Look(**vars(FIRST) | {"gpu_memory": 2**31}), id="its GPU memory grows"),
    ],
)
def test_each_of_these_is_progress(second: Look) -> None:
    # row 11: slow but progressing waits
    assert still_after(second) == 30.0


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(FIRST, id="nothing moves, whatever is logged"),
        pytest.param(Look(**vars(FIRST) | {"cpu_percent": 4.0}), id="idle threads wake up now and then"),
        pytest.param(Look(**vars(FIRST) | {"io_bytes": 10_300}), id="one INFO line a minute is written"),
        pytest.param(Look(**vars(FIRST) | {"cpu_percent": None, "io_bytes": None}), id="nothing is known"),
    ],
)
def test_none_of_these_is_progress(second: Look) -> None:
    # row 11: stalls
    assert still_after(second) == 90.0


def test_waiting_for_its_turn_is_no_stall() -> None:
    progress = Progress(0.0)
    progress.began(500.0)
    assert (progress.still_for(510.0), progress.running_for(510.0)) == (10.0, 10.0)
