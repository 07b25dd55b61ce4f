"""The machine's part of the Prometheus page. Who knows more registers further collectors."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.gpu import GpuReading, GpuReadings
from monitoring.host import HostReading

SILENT = timedelta(seconds=15)  # a driver that says nothing for longer hangs: its last values are none of now

# name, what it is, where it stands
HOST: tuple[tuple[str, str, Callable[[HostReading], float | None]], ...] = (
    ("cpu_percent", "Use of all processor threads together, 0 to 100", lambda host: host.cpu_percent),
    ("cpu_threads", "Processor threads", lambda host: host.threads),
    ("load1", "Load average of one minute", lambda host: host.load),
    ("memory_used_bytes", "Memory in use", lambda host: host.memory_used),
    ("memory_total_bytes", "Memory that may be used", lambda host: host.memory_total),
    ("swap_used_bytes", "Swap in use", lambda host: host.swap_used),
    ("swap_total_bytes", "Swap", lambda host: host.swap_total),
    ("disk_used_bytes", "Used on the data folder's file system", lambda host: host.disk_used),
    ("disk_free_bytes", "Free on the data folder's file system", lambda host: host.disk_free),
    ("disk_total_bytes", "Size of the data folder's file system", lambda host: host.disk_total),
    ("console_memory_bytes", "Resident memory of the console", lambda host: host.console_rss),
)
GPU: tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...] = (
    ("up", "1 when the GPU answers, 0 when it is lost", lambda gpu: 0 if gpu.error else 1),
    ("memory_used_bytes", "GPU memory in use", lambda gpu: gpu.memory_used),
    ("memory_total_bytes", "GPU memory", lambda gpu: gpu.memory_total),
    ("utilisation_percent", "Share of the time with work, 0 to 100", lambda gpu: gpu.utilisation),
    ("temperature_celsius", "Temperature", lambda gpu: gpu.temperature),
    ("power_watts", "Power drawn", lambda gpu: gpu.power),
    ("throttled", "1 while heat or lack of power hold its clock down", lambda gpu: int(gpu.throttle_bad)),
    ("power_limit_watts", "Power limit in force", lambda gpu: gpu.power_limit),
)


class HostCollector(Collector):
    """`llmops_host_*`; a value that is not known is left out."""

    def __init__(self, read: Callable[[], HostReading | None]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        host = self._read()
        if host is None:
            return
        for name, text, value_of in HOST:
            value = value_of(host)
            if value is not None:
                yield GaugeMetricFamily(f"llmops_host_{name}", text, value=value)


class GpuCollector(Collector):
    """`llmops_gpu_*` with the labels `gpu` (index) and `uuid`; a value that is not known is left out.

    While a driver hangs, the last readings are given again and again: then its GPUs are down.
    """

    def __init__(self, read: Callable[[], GpuReadings | None]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        readings = self._read()
        gpus = _answering(readings) if readings else []
        yield GaugeMetricFamily("llmops_gpus", "GPUs that the driver shows", value=len(gpus))
        for name, text, value_of in GPU:
            metric = GaugeMetricFamily(f"llmops_gpu_{name}", text, labels=["gpu", "uuid"])
            for gpu in gpus:
                value = value_of(gpu)
                if value is not None:
                    metric.add_metric([str(gpu.index), gpu.uuid], value)
            if metric.samples:
                yield metric


def _answering(readings: GpuReadings) -> list[GpuReading]:
    if datetime.now(UTC) - readings.at < SILENT:
        return readings.gpus
    return [GpuReading(one.index, one.uuid, one.name, error="silent") for one in readings.gpus]


def machine_registry(
    host: Callable[[], HostReading | None], gpus: Callable[[], GpuReadings | None]
) -> CollectorRegistry:
    """A registry of our own, without the client's default metrics. Both are read for each page."""
    registry = CollectorRegistry()
    registry.register(HostCollector(host))
    registry.register(GpuCollector(gpus))
    return registry


def page(registry: CollectorRegistry) -> tuple[bytes, str]:
    """The page in Prometheus' text format, and its content type."""
    return generate_latest(registry), CONTENT_TYPE_LATEST
