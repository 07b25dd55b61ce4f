"""Instances on our Prometheus page; registered from above."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring import latest
from monitoring.engine_metrics import EngineReading
from monitoring.processes import Usage

from .cards import reading_of
from .models import Instance, Launch
from .states import State

Engine = Callable[[EngineReading], float | None]
Tree = Callable[[Usage], float | None]
ENGINE_GAUGES: tuple[tuple[str, str, Engine], ...] = (
    ("requests_running", "Requests being answered", lambda engine: engine.running),
    ("requests_waiting", "Requests that wait", lambda engine: engine.waiting),
    ("kv_cache_percent", "KV cache in use, 0 to 100", lambda engine: engine.kv_cache_percent),
    ("kv_cache_tokens", "Tokens that the KV cache holds", lambda engine: engine.kv_cache_tokens),
)
ENGINE_COUNTERS: tuple[tuple[str, str, Engine], ...] = (
    ("prompt_tokens", "Prompt tokens since its engine started", lambda engine: engine.prompt_tokens),
    ("generation_tokens", "Generated tokens since then", lambda engine: engine.generation_tokens),
    ("preemptions", "Preemptions since then", lambda engine: engine.preemptions),
)
TREE_GAUGES: tuple[tuple[str, str, Tree], ...] = (
    ("cpu_percent", "Processor use of its processes, 100 is one thread", lambda usage: usage.cpu_percent),
    ("memory_bytes", "Memory of its processes", lambda usage: usage.memory),
)


class InstanceCollector(Collector):
    """`llmops_instance_*` with the label `instance`, its name. Four queries for any number of instances."""

    def describe(self) -> list[Metric]:
        return []  # nothing is asked of the database when it is registered

    def collect(self) -> Iterator[Metric]:
        instances = Instance.objects.visible().with_launches()
        yield self._states(instances)
        yield from self._launches(instances)
        readings = latest.newest()
        read = {one.name: reading for one in instances if (reading := reading_of(one, readings)) is not None}
        engines = {name: one.engine for name, one in read.items() if one.engine}
        trees = {name: one.usage for name, one in read.items() if one.usage}
        for name, about, of_engine in ENGINE_GAUGES:
            yield _filled(_gauge(name, about), {one: of_engine(engine) for one, engine in engines.items()})
        for name, about, of_engine in ENGINE_COUNTERS:
            yield _filled(_counter(name, about), {one: of_engine(engine) for one, engine in engines.items()})
        for name, about, of_tree in TREE_GAUGES:
            yield _filled(_gauge(name, about), {one: of_tree(usage) for one, usage in trees.items()})
        memory = _gauge("gpu_memory_bytes", "GPU memory of its processes")
        yield _filled(memory, {name: one.gpu_memory for name, one in read.items()})
        requests = CounterMetricFamily(
            "llmops_instance_requests",
            "Requests that ended, by how, since its engine started",
            labels=["instance", "finished_reason"],
        )
        for instance, engine in engines.items():
            for reason, count in engine.finished.items():
                requests.add_metric([instance, reason], count)
        yield requests

    def _states(self, instances: list[Instance]) -> Metric:
        metric = GaugeMetricFamily(
            "llmops_instances", "Instances by the state of their last launch", labels=["state"]
        )
        for state in State:
            metric.add_metric([state.value], sum(one.state == state for one in instances))
        return metric

    def _launches(self, instances: list[Instance]) -> Iterator[Metric]:
        up = GaugeMetricFamily("llmops_instance_up", "1 while it answers", labels=["instance"])
        ready = GaugeMetricFamily(
            "llmops_instance_time_to_ready_seconds",
            "Of its last launch, once it is ready",
            labels=["instance"],
        )
        restarts = CounterMetricFamily(
            "llmops_instance_restarts",
            "Attempts that we made by ourselves after a failure",
            labels=["instance"],
        )
        attempts = Launch.objects.filter(instance__in=instances, attempt__gt=0)
        counts = dict(attempts.values_list("instance").annotate(Count("pk")))
        for one in instances:
            up.add_metric([one.name], one.state == State.RUNNING)
            restarts.add_metric([one.name], counts.get(one.pk, 0))
            if one.last_launch and (span := one.last_launch.time_to_ready):
                ready.add_metric([one.name], span.total_seconds())
        yield from (up, ready, restarts)


def _gauge(name: str, about: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"llmops_instance_{name}", about, labels=["instance"])


def _counter(name: str, about: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"llmops_instance_{name}", about, labels=["instance"])


def _filled(metric: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float | None]) -> Metric:
    """A value that is not known is left out."""
    for instance, value in values.items():
        if value is not None:
            metric.add_metric([instance], value)
    return metric
