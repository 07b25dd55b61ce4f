"""Kinds of machines as people have them: what each says, and what it must never say."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml
import pytest

from monitoring.gpu import GpuReading, GpuReadings
from monitoring.nvml import GpuReader

from .conftest import FAKES

Turn = Callable[..., None]
GIB = 2**30
DIFFER = "The NVIDIA driver and its library differ. Reboot the machine."


@dataclass(frozen=True)
class Kind:
    """A machine by its knobs, and what GPU 0 then says."""

    knobs: dict[str, object] = field(default_factory=dict)
    system: str = "6.1.0-generic"
    says: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


KINDS = {
    "a discrete GPU": Kind(
        says={"memory_total": 48 * GIB, "memory_shared": False, "throttled": "", "slices": ()}
    ),
    "unified memory, not told (GB10)": Kind(
        {"NAME": "NVIDIA GB10", "0_MEMORY": 3, "0_LIMIT": 3},
        says={"memory_total": None, "memory_shared": True, "power_limit": None, "error": ""},
    ),
    "unified memory that is told": Kind(
        {"NAME": "NVIDIA GB10"}, says={"memory_total": 48 * GIB, "memory_shared": False}
    ),
    "a discrete GPU that does not tell its memory": Kind(
        {"0_MEMORY": 3}, says={"memory_total": None, "memory_shared": False, "error": ""}
    ),
    "a laptop that tells no power and no limit": Kind(
        {"0_POWER": 3, "0_LIMIT": 3}, says={"power": None, "power_limit": None, "error": ""}
    ),
    "noise for a name": Kind({"0_NOISE": 1}, says={"name": "", "error": "", "memory_total": 48 * GIB}),
    "hot": Kind({"0_REASONS": 0x20}, says={"throttled": "Slowed down by heat.", "throttle_bad": True}),
    "hot, by its hardware": Kind(
        {"0_REASONS": 0x48}, says={"throttled": "Slowed down by heat.", "throttle_bad": True}
    ),
    "braked by its supply": Kind(
        {"0_REASONS": 0x84},
        says={"throttled": "Slowed down: its power supply brakes it.", "throttle_bad": True},
    ),
    "at its power limit": Kind(
        {"0_REASONS": 0x4}, says={"throttled": "At its power limit.", "throttle_bad": False}
    ),
    "idle, with fixed clocks": Kind(
        {"0_REASONS": 0x1 | 0x2 | 0x10 | 0x100}, says={"throttled": "", "throttle_bad": False}
    ),
    "does not tell why it is slow": Kind(
        {"0_CLOCKS": 3, "0_REASONS": 0x20}, says={"throttled": "", "error": ""}
    ),
    "WSL2": Kind(
        {"0_PROCESSES": 3},
        system="5.15.167.4-microsoft-standard-WSL2",
        says={
            "processes": (),
            "processes_hidden": "Under WSL, Windows does not tell which processes use it.",
        },
    ),
    "no right to see processes": Kind(
        {"0_PROCESSES": 4},
        says={"processes": (), "processes_hidden": "This user may not see the processes on it.", "error": ""},
    ),
    "a vGPU, which knows of no processes": Kind(
        {"0_PROCESSES": 3}, says={"processes_hidden": "It does not tell which processes use it."}
    ),
    "lost": Kind(
        {"0_HANDLE": 15},
        says={"error": "The GPU is lost. It needs a reset or a reboot.", "utilisation": None},
    ),
    "lacks power": Kind({"0_HANDLE": 8}, says={"error": "The GPU lacks power. Check its power cables."}),
    "driver updated under it": Kind({"INIT": 18}, reason=DIFFER),
    "driver not loaded": Kind({"INIT": 9}, reason="The NVIDIA driver is installed but not loaded."),
    "no right to use the driver": Kind({"INIT": 4}, reason="This user may not use the NVIDIA driver."),
    "a driver without a GPU": Kind({"GPUS": 0}, reason="The NVIDIA driver is there and shows no GPU."),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_each_kind_of_machine_says(fake_nvml: Turn, kind: Kind) -> None:
    fake_nvml(**{name: value for name, value in kind.knobs.items()})
    read = GpuReader(system=kind.system).read()
    assert read.reason == kind.reason
    if kind.reason:
        assert read.gpus == []
        return
    first, second = read.gpus
    for name, value in kind.says.items():
        assert getattr(first, name) == value, name
    assert second.error == "" and second.utilisation is not None  # whatever the first one is
    assert GpuReadings.from_message(read.to_message()) == read
    assert 0 not in (first.memory_total, second.memory_total)  # never "0 of 0"


def test_a_gpu_in_slices_tells_of_each_and_who_uses_it(fake_nvml: Turn) -> None:
    fake_nvml(**{"0_MIG": 2, "NAME": "NVIDIA A100-SXM4-80GB"})
    first, second = GpuReader().read().gpus
    assert [(one.name, one.memory_used, one.memory_total) for one in first.slices] == [
        ("1g.10gb", 1 * GIB, 10 * GIB),
        ("1g.10gb", 2 * GIB, 10 * GIB),
    ]
    assert len({one.uuid for one in first.slices}) == 2
    assert (first.utilisation, first.memory_total, first.error) == (None, 48 * GIB, "")
    assert [process.pid for process in first.processes] == [os.getpid()]
    assert first.processes_hidden == "" and second.slices == ()
    read = GpuReadings([first], "", GpuReader().read().at)
    assert GpuReadings.from_message(read.to_message()) == read


def test_processes_whose_memory_is_not_told_are_named_all_the_same(fake_nvml: Turn) -> None:
    fake_nvml(PID=1000, PROCESSES=3, NO_PROCESS_MEMORY=1)
    found = GpuReader().read().gpus[0].processes
    assert [(one.pid, one.memory) for one in found] == [(1000, None), (1001, None), (1002, None)]


def test_a_gpu_that_has_fallen_off_keeps_its_card_and_the_others_their_numbers(fake_nvml: Turn) -> None:
    fake_nvml(GPUS=4)
    reader = GpuReader()
    before = reader.read().gpus
    fake_nvml(GONE=2)
    after = reader.read().gpus
    assert [(gpu.index, gpu.uuid) for gpu in after] == [(gpu.index, gpu.uuid) for gpu in before]
    assert [gpu.error for gpu in after] == ["", "", "The GPU is lost. It needs a reset or a reboot.", ""]
    assert after[2].lost_at is not None
    assert reader.read().gpus[2].lost_at == after[2].lost_at  # since when, not until when
    fake_nvml(GONE=-1)
    back = reader.read().gpus[2]
    assert (back.error, back.lost_at) == ("", None)


def test_since_when_a_gpu_is_lost_survives_a_message(fake_nvml: Turn) -> None:
    fake_nvml(**{"1_HANDLE": 15})
    reader = GpuReader()
    read = reader.read()
    lost: GpuReading = read.gpus[1]
    assert lost.lost_at is not None and lost.as_json()["lost_at"] == lost.lost_at.isoformat()
    assert GpuReadings.from_message(read.to_message()) == read


def test_a_driver_updated_while_it_runs_says_the_same_as_at_the_start(fake_nvml: Turn) -> None:
    reader = GpuReader()
    assert len(reader.read().gpus) == 2
    fake_nvml(**{"0_UTILISATION": 18})
    read = reader.read()
    assert (read.gpus, read.reason, read.absent) == ([], DIFFER, False)


def test_a_driver_of_before_2022_is_read_by_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libnvidia-ml.so.1"
    source = str(FAKES / "nvml.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-DOLD_DRIVER", "-o", str(library), source], check=True)
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setenv("FAKE_NVML_0_REASONS", "32")
    first = GpuReader().read().gpus[0]
    assert (first.throttled, first.error, first.slices) == ("Slowed down by heat.", "", ())
    assert [process.pid for process in first.processes] == [os.getpid()]
