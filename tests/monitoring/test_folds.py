import random
from datetime import UTC, datetime

import pytest

from monitoring import folds
from monitoring.engine_metrics import EngineReading, Gained
from monitoring.gpu import GpuReading, GpuReadings
from monitoring.histogram import Histogram
from monitoring.host import HostReading
from monitoring.processes import Usage
from monitoring.sampler import Readings, TargetReading

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
INF = float("inf")


def test_gauges_keep_mean_and_extremes_and_counts_add_up() -> None:
    whole = folds.fold(
        [
            {"s": 1, "cpu": [1, 10.0, 10.0, 10.0], "tokens": 5},
            {"s": 1, "cpu": [1, 30.0, 30.0, 30.0]},
            {"s": 1, "tokens": 7},
        ]
    )
    assert whole == {"s": 3, "cpu": [2, 40.0, 10.0, 30.0], "tokens": 12}
    assert (folds.mean(whole["cpu"]), folds.most(whole["cpu"])) == (20, 30)
    assert folds.mean(whole.get("memory")) is None


def test_histograms_add_up() -> None:
    first, second = {"0 0.1": 1, "0.1 0.2": 1, "sum": 0.2}, {"0.1 0.2": 2, "sum": 0.3}
    whole = folds.fold([{"s": 1, "t": first}, {"s": 1, "t": second}])
    assert whole["t"] == {"0 0.1": 1, "0.1 0.2": 3, "sum": 0.5}
    both = Histogram.of({0.1: 1, 0.2: 4}, 0.5)
    assert folds.quantiles(whole["t"], (0.5, 0.99)) == both.quantiles((0.5, 0.99))
    assert folds.quantiles(None, (0.5,)) is None


def test_what_was_folded_is_left_as_it_was() -> None:
    one = {"s": 1, "cpu": [1, 1.0, 1.0, 1.0], "t": {"0 0.1": 1}}
    folds.fold([one, one])
    assert one == {"s": 1, "cpu": [1, 1.0, 1.0, 1.0], "t": {"0 0.1": 1}}


def test_an_hour_is_the_same_whether_made_of_minutes_or_of_ticks() -> None:
    rng = random.Random(7)
    ticks = [
        {"s": 5, "cpu": [5, value * 5, value, value], "n": rng.randrange(9), "t": {"0 0.1": 1, "0.1 inf": 2}}
        for value in (float(rng.randrange(100)) for _ in range(720))
    ]
    minutes = [folds.fold(ticks[start : start + 12]) for start in range(0, 720, 12)]
    assert folds.fold(minutes) == folds.fold(ticks)


def test_only_what_is_asked_for_is_folded() -> None:
    assert folds.fold([{"s": 1, "a": 1, "b": 2}], frozenset({"b"})) == {"s": 1, "b": 2}


def test_readings_become_folds_by_subject() -> None:
    engine = EngineReading(2, 1, 31.5, 10.0, 20.0, 5.0, 9.0, 0.1)
    gained = Gained(
        {"generation_tokens": 12, "finished_stop": 1},
        {"first_token": Histogram.of({0.1: 1.0, INF: 1.0}, 0.08)},
    )
    read = Readings(
        host=HostReading(NOW, 18.2, 32, None, 100, 200, 0, 0, 5, 6, 11, 7),
        gpus=GpuReadings(
            [
                GpuReading(0, "GPU-a", "L4", memory_used=10, memory_total=20, utilisation=50.0),
                GpuReading(1, "GPU-b", "L4", error="The GPU is lost."),
            ],
            "",
            NOW,
        ),
        targets={
            "launch:1": TargetReading(Usage(150.0, 3000, 2), engine, 77, gained),
            "launch:2": TargetReading(None, None),
        },
        at=NOW,
    )
    found = folds.of_readings(read, 1.0)
    assert found["host"]["cpu"] == [1, 18.2, 18.2, 18.2] and "load" not in found["host"]
    assert found["gpu:GPU-a"] == {"s": 1.0, "memory": [1, 10, 10, 10], "busy": [1, 50.0, 50.0, 50.0]}
    assert found["launch:1"] == {
        "s": 1.0,
        "cpu": [1, 150.0, 150.0, 150.0],
        "memory": [1, 3000, 3000, 3000],
        "gpu_memory": [1, 77, 77, 77],
        "running": [1, 2, 2, 2],
        "waiting": [1, 1, 1, 1],
        "kv_cache": [1, 31.5, 31.5, 31.5],
        "generation_tokens": 12,
        "finished_stop": 1,
        "first_token": {"0 0.1": 1.0, "sum": 0.08},
    }
    assert set(found) == {"host", "gpu:GPU-a", "launch:1"}


@pytest.mark.parametrize("value", [None, 5, {}])
def test_what_is_no_gauge_has_no_mean(value: object) -> None:
    assert folds.mean(value) is None
