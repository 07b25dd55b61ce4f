"""Instances on our Prometheus page; registered from above."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .models import Instance
from .states import State


class InstanceCollector(Collector):
    def describe(self) -> list[Metric]:
        return []  # nothing is asked of the database when it is registered

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "llmops_instances", "Instances by the state of their last launch", labels=["state"]
        )
        counts = Instance.objects.counts_by_state()
        for state in State:
            states.add_metric([state.value], counts.get(state.value, 0))
        yield states
