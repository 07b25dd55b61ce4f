"""Readings folded together: of a tick, a minute, an hour, or a point of a chart. Pure.

A fold is a dict: `s` the seconds that it covers, and by metric one of
    gauge       [n, sum, least, most]
    count       a number: what came in these seconds
    histogram   {"<lower edge> <upper edge>": how many lie between, in seconds, ..., "sum": of all}
It carries nothing but JSON, and folding is associative, so an hour is the same whether made of minutes or of ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from monitoring import histogram
from monitoring.gpu import GpuReading
from monitoring.host import HostReading
from monitoring.sampler import Readings, TargetReading

Fold = dict[str, Any]
SUM = "sum"


def fold(folds: Iterable[Fold], metrics: frozenset[str] | None = None) -> Fold:
    """All of them as one; `metrics` names those that are wanted, all without it."""
    whole: Fold = {"s": 0}
    for one in folds:
        for name, value in one.items():
            if metrics is not None and name not in metrics and name != "s":
                continue
            known = whole.get(name)
            if known is None:
                whole[name] = dict(value) if isinstance(value, dict) else value
            elif isinstance(value, list):
                whole[name] = [
                    known[0] + value[0],
                    known[1] + value[1],
                    min(known[2], value[2]),
                    max(known[3], value[3]),
                ]
            elif isinstance(value, dict):
                for edge, count in value.items():
                    known[edge] = known.get(edge, 0) + count
            else:
                whole[name] = known + value
    return whole


def mean(value: Any) -> float | None:
    return value[1] / value[0] if isinstance(value, list) and value[0] else None


def most(value: Any) -> float | None:
    return value[3] if isinstance(value, list) else None


def quantiles(value: Any, shares: tuple[float, ...]) -> tuple[float, ...] | None:
    """Of a histogram; None when nothing was observed."""
    if not isinstance(value, dict):
        return None
    return histogram.quantiles(_bins(value), value.get(SUM, 0.0), shares)


def _bins(value: Mapping[str, float]) -> list[histogram.Bin]:
    return sorted((*_edges(name), count) for name, count in value.items() if name != SUM)


@lru_cache(maxsize=1024)
def _edges(name: str) -> tuple[float, float]:
    low, _, high = name.partition(" ")
    return float(low), float(high)


def of_readings(readings: Readings, seconds: float) -> dict[str, Fold]:
    """One step's readings, by subject. What is not known is left out; who shows nothing at all is absent."""
    found: dict[str, Fold] = {}
    if readings.host:
        found["host"] = _gauges(_host(readings.host))
    for gpu in readings.gpus.gpus if readings.gpus else ():
        if gpu.uuid and not gpu.error:
            found[f"gpu:{gpu.uuid}"] = _gauges(_gpu(gpu))
    for subject, target in readings.targets.items():
        found[subject] = _target(target)
    return {subject: {"s": seconds, **values} for subject, values in found.items() if values}


def _host(host: HostReading) -> dict[str, float | None]:
    return {
        "cpu": host.cpu_percent,
        "load": host.load,
        "memory": host.memory_used,
        "swap": host.swap_used,
        "disk_free": host.disk_free,
        "console": host.console_rss,
    }


def _gpu(gpu: GpuReading) -> dict[str, float | None]:
    return {
        "memory": gpu.memory_used,
        "busy": gpu.utilisation,
        "temperature": gpu.temperature,
        "power": gpu.power,
    }


def _target(target: TargetReading) -> Fold:
    usage, engine = target.usage, target.engine
    gauges = {
        "cpu": usage.cpu_percent if usage else None,
        "memory": usage.memory if usage else None,
        "gpu_memory": target.gpu_memory,
        "running": engine.running if engine else None,
        "waiting": engine.waiting if engine else None,
        "kv_cache": engine.kv_cache_percent if engine else None,
    }
    found = _gauges(gauges) | dict(target.gained.counts)
    for name, gained in target.gained.histograms.items():
        found[name] = {f"{low:g} {high:g}": count for low, high, count in gained.bins()}
        found[name][SUM] = round(gained.sum, 6)
    return found


def _gauges(values: Mapping[str, float | None]) -> Fold:
    return {name: [1, value, value, value] for name, value in values.items() if value is not None}
