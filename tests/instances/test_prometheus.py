from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import CollectorRegistry

from accounts.models import User
from instances.prometheus import InstanceCollector
from instances.scraping import targets
from instances.states import State
from monitoring import latest
from monitoring.engine_metrics import EngineReading
from monitoring.processes import Usage
from monitoring.sampler import Readings, TargetReading
from tests.instances.made import in_state, make_launch

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    found.register(InstanceCollector())
    return found


def hear(monkeypatch: pytest.MonkeyPatch, launch: int) -> None:
    finished = {"stop": 3.0, "error": 1.0}
    engine = EngineReading(2, 1, 31.5, 100.0, 200.0, 5.0, 9.0, 0.1, 4096, 7.0, None, finished)
    target = TargetReading(Usage(150.0, 3000, 2), engine, 77)
    monkeypatch.setattr(
        latest, "_heard", Readings(None, None, {f"launch:{launch}": target}, dt.datetime.now(dt.UTC))
    )


def test_an_instance_is_shown_under_its_name(
    registry: CollectorRegistry, mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = in_state(mia, State.STOPPED, "tiny", ended_at=timezone.now())
    make_launch(instance, state=State.ERROR, attempt=1, ended_at=timezone.now())
    last = make_launch(
        instance, state=State.RUNNING, attempt=2, ready_at=timezone.now() + dt.timedelta(seconds=9)
    )
    hear(monkeypatch, last.pk)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"llmops_instance_{name}", {"instance": "tiny", **labels})

    assert value("up") == 1
    assert value("restarts_total") == 2
    assert 8 < (value("time_to_ready_seconds") or 0) < 10
    assert (value("requests_running"), value("requests_waiting")) == (2, 1)
    assert value("requests_total", finished_reason="stop") == 3
    assert (value("prompt_tokens_total"), value("generation_tokens_total"), value("preemptions_total")) == (
        100,
        200,
        7,
    )
    assert (value("kv_cache_percent"), value("kv_cache_tokens")) == (31.5, 4096)
    assert (value("cpu_percent"), value("memory_bytes"), value("gpu_memory_bytes")) == (150, 3000, 77)
    assert registry.get_sample_value("llmops_instances", {"state": "running"}) == 1


def test_what_is_not_known_is_left_out(
    registry: CollectorRegistry, mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest, "_heard", None)
    in_state(mia, State.STOPPED, "still", ended_at=timezone.now())
    assert registry.get_sample_value("llmops_instance_up", {"instance": "still"}) == 0
    assert registry.get_sample_value("llmops_instance_memory_bytes", {"instance": "still"}) is None


@pytest.mark.parametrize("number", [1, 6])
def test_its_queries_do_not_grow_with_the_instances(
    registry: CollectorRegistry,
    mia: User,
    number: int,
    django_assert_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latest, "_heard", None)
    for n in range(number):
        in_state(mia, State.RUNNING, f"i-{n}", ready_at=timezone.now())
    with django_assert_num_queries(4):  # instances, launches, attempts, the newest readings
        list(registry.collect())


def test_prometheus_finds_the_engines_that_serve_through_us(
    mia: User, django_assert_num_queries: Any
) -> None:
    running = in_state(mia, State.RUNNING, "a", ready_at=timezone.now())
    in_state(mia, State.STARTING, "b")
    in_state(mia, State.STOPPED, "c", ended_at=timezone.now())
    removed = in_state(mia, State.RUNNING, "d", ready_at=timezone.now())
    removed.removed_at = timezone.now()
    removed.save()
    with django_assert_num_queries(1):
        (found,) = targets("atlas:7860", "https")
    assert found["targets"] == ["atlas:7860"]
    assert found["labels"]["__metrics_path__"] == f"/api/models/{running.pk}/metrics"
    assert (found["labels"]["__scheme__"], found["labels"]["instance"]) == ("https", "a")
