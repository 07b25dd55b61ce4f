import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitoring.nvml import RETRY, GpuReader

from .conftest import as_heard

Turn = Callable[..., None]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_reads_two_gpus(fake_nvml: Turn) -> None:
    readings = GpuReader().read()
    assert readings.reason == ""
    assert [(gpu.index, gpu.name) for gpu in readings.gpus] == [
        (0, "NVIDIA RTX 6000 Ada Generation"),
        (1, "NVIDIA RTX 6000 Ada Generation"),
    ]
    first, second = readings.gpus
    assert first.uuid != second.uuid
    assert first.memory_total == 48 * 2**30
    assert first.memory_used is not None and 4 * 2**30 <= first.memory_used < 8 * 2**30
    assert first.utilisation is not None and 0 <= first.utilisation <= 100
    assert first.temperature is not None and 40 <= first.temperature < 70
    assert first.power is not None and 70 <= first.power < 300
    assert first.power_limit == 300
    assert [(process.pid, process.memory) for process in first.processes] == [(os.getpid(), 3 * 2**30)]
    assert second.processes == ()


def test_its_values_move(fake_nvml: Turn) -> None:
    reader = GpuReader()
    assert reader.read().gpus[0].utilisation != reader.read().gpus[0].utilisation


def test_pynvml_finds_the_library_by_its_own_search(nvml_library: Path) -> None:
    program = (
        "import json; from monitoring.nvml import GpuReader; print(json.dumps(GpuReader().read().as_json()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"LD_LIBRARY_PATH": str(nvml_library.parent)},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert [gpu["index"] for gpu in answer["gpus"]] == [0, 1]
    assert answer["reason"] == ""


def test_without_a_driver_the_list_is_empty_and_says_why(no_driver: None) -> None:
    readings = GpuReader().read()
    assert readings.as_json() == {"gpus": [], "reason": "No NVIDIA driver is installed."}
    assert readings.absent


def test_a_driver_without_gpus_says_so(fake_nvml: Turn) -> None:
    fake_nvml(GPUS=0)
    readings = GpuReader().read()
    assert (readings.gpus, readings.reason) == ([], "The NVIDIA driver is there and shows no GPU.")
    assert readings.absent


def test_a_driver_that_differs_from_its_library_asks_for_a_reboot(fake_nvml: Turn) -> None:
    fake_nvml(INIT=18)
    readings = GpuReader().read()
    assert readings.reason == "The NVIDIA driver and its library differ. Reboot the machine."
    assert not readings.absent


def test_an_answer_that_nobody_expected_is_shown(fake_nvml: Turn) -> None:
    fake_nvml(INIT=999)
    assert GpuReader().read().reason == "The NVIDIA driver answered: Unknown Error."


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("MEMORY", ["memory_used", "memory_total"]),
        ("UTILISATION", ["utilisation"]),
        ("TEMPERATURE", ["temperature"]),
        ("POWER", ["power"]),
        ("LIMIT", ["power_limit"]),
    ],
)
@pytest.mark.parametrize("code", [3, 999])
def test_a_value_that_fails_takes_only_itself_away(
    fake_nvml: Turn, value: str, fields: list[str], code: int
) -> None:
    fake_nvml(**{f"1_{value}": code})
    failing = GpuReader().read().gpus[1]
    assert failing.error == ""
    values = ("memory_used", "memory_total", "utilisation", "temperature", "power", "power_limit")
    assert [name for name in values if getattr(failing, name) is None] == fields


def test_processes_that_may_not_be_seen_leave_the_rest(fake_nvml: Turn) -> None:
    fake_nvml(**{"0_PROCESSES": 4})
    gpu = GpuReader().read().gpus[0]
    assert (gpu.processes, gpu.error) == ((), "")
    assert gpu.utilisation is not None


def test_only_a_gpu_known_to_share_memory_is_taken_as_sharing_it(fake_nvml: Turn) -> None:
    fake_nvml(**{"0_MEMORY": 3, "1_MEMORY": 3})
    assert not GpuReader().read().gpus[0].memory_shared
    fake_nvml(NAME="NVIDIA GB10")
    shared = GpuReader().read().gpus[0]
    assert shared.memory_shared and shared.memory_total is None
    assert shared.utilisation is not None


def test_a_gpu_sharing_memory_that_does_give_figures_keeps_them(fake_nvml: Turn) -> None:
    fake_nvml(NAME="NVIDIA GB10")
    gpu = GpuReader().read().gpus[0]
    assert gpu.memory_total == 48 * 2**30
    assert not gpu.memory_shared


@pytest.mark.parametrize("where", ["HANDLE", "UTILISATION"])
def test_a_lost_gpu_keeps_its_card_and_its_name(fake_nvml: Turn, where: str) -> None:
    reader = GpuReader()
    well = reader.read()
    fake_nvml(**{f"0_{where}": 15})
    lost, other = reader.read().gpus
    assert lost.error == "The GPU is lost. It needs a reset or a reboot."
    assert (lost.index, lost.uuid, lost.name) == (0, well.gpus[0].uuid, well.gpus[0].name)
    assert lost.utilisation is None
    assert (other.index, other.error) == (1, "")
    assert other.utilisation is not None


def test_a_driver_lost_while_running_says_why_and_comes_back(fake_nvml: Turn) -> None:
    clock = Clock()
    reader = GpuReader(clock)
    assert len(reader.read().gpus) == 2
    fake_nvml(COUNT_ERROR=18)
    lost = reader.read()
    assert (lost.gpus, lost.reason) == ([], "The NVIDIA driver and its library differ. Reboot the machine.")
    fake_nvml(COUNT_ERROR=0)
    clock.now += RETRY - 0.1
    assert reader.read().reason == lost.reason  # it asks again every few seconds only
    clock.now += 0.2
    back = reader.read()
    assert (len(back.gpus), back.reason) == (2, "")


def test_a_driver_lost_between_two_values_is_the_driver_not_the_gpu(fake_nvml: Turn) -> None:
    fake_nvml(**{"1_POWER": 18})
    readings = GpuReader().read()
    assert (readings.gpus, readings.reason[:38]) == ([], "The NVIDIA driver and its library diff")


def test_a_file_of_faults_reaches_a_running_program(fake_nvml: Turn, tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    fake_nvml(FILE=faults)
    reader = GpuReader()
    assert reader.read().gpus[1].error == ""
    faults.write_text("FAKE_NVML_1_HANDLE=15\n")
    assert reader.read().gpus[1].error != ""


def test_readings_survive_a_message(fake_nvml: Turn) -> None:
    fake_nvml(**{"1_HANDLE": 15})
    readings = GpuReader().read()
    assert as_heard(readings) == readings
