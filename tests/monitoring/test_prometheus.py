from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from monitoring.host import HostReader
from monitoring.nvml import GpuReader
from monitoring.prometheus import SILENT, machine_registry, page


def values(body: bytes) -> dict[tuple[str, str], float]:
    """Every sample of the page, by its name and its GPU."""
    return {
        (sample.name, sample.labels.get("gpu", "")): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_it_shows_the_host_and_each_gpu(tmp_path: Path, fake_nvml: Callable[..., None]) -> None:
    body, content_type = page(machine_registry(HostReader(tmp_path).read, GpuReader().read))
    shown = values(body)
    assert content_type.startswith("text/plain")
    assert shown["llmops_host_memory_total_bytes", ""] > shown["llmops_host_memory_used_bytes", ""] > 0
    assert shown["llmops_host_disk_free_bytes", ""] > 0
    assert shown["llmops_gpus", ""] == 2
    assert shown["llmops_gpu_memory_total_bytes", "1"] == 48 * 2**30
    assert shown["llmops_gpu_up", "0"] == 1
    assert b'uuid="GPU-00000000-0000-4000-8000-000000000001"' in body
    assert all(name.startswith("llmops_") for name, _ in shown)


def test_a_lost_gpu_is_down_and_has_no_values(tmp_path: Path, fake_nvml: Callable[..., None]) -> None:
    reader = GpuReader()
    reader.read()
    fake_nvml(**{"1_HANDLE": 15})
    shown = values(page(machine_registry(HostReader(tmp_path).read, reader.read))[0])
    assert (shown["llmops_gpu_up", "0"], shown["llmops_gpu_up", "1"]) == (1, 0)
    assert ("llmops_gpu_power_watts", "1") not in shown
    assert ("llmops_gpu_power_watts", "0") in shown


def test_while_the_driver_hangs_its_gpus_are_down_and_have_no_values(fake_nvml: Callable[..., None]) -> None:
    now = GpuReader().read()
    old = replace(now, at=now.at - SILENT)
    assert values(page(machine_registry(lambda: None, lambda: now))[0])["llmops_gpu_up", "0"] == 1
    shown = values(page(machine_registry(lambda: None, lambda: old))[0])
    assert (shown["llmops_gpu_up", "0"], shown["llmops_gpu_up", "1"], shown["llmops_gpus", ""]) == (0, 0, 2)
    assert ("llmops_gpu_memory_used_bytes", "0") not in shown


def test_without_gpus_and_before_the_first_reading_the_page_is_valid(no_driver: None) -> None:
    assert values(page(machine_registry(lambda: None, GpuReader().read))[0]) == {("llmops_gpus", ""): 0}
