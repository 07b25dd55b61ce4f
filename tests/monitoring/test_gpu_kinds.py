"""Kinds of machines as people have them: what each says, and what it must never say."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pynvml
import pytest

from monitoring.nvml import GpuReader

from .conftest import FAKES, as_heard

msgpack = import_module("msgpack")  # as channels-redis packs messages; it carries no types
Turn = Callable[..., None]
GIB = 2**30
DIFFER = "The NVIDIA driver and its library differ. Reboot the machine."
LOST = "The GPU is lost. It needs a reset or a reboot."
WSL = "5.15.167.4-microsoft-standard-WSL2"
ABSENCE = ("No NVIDIA driver", "shows no GPU", "not loaded")  # said of a GPU that is there, they mislead
NOTHING = (
    '_bytes": 0,',
    '_bytes": 0}',
    '_bytes": 0.0',
    "NaN",
    "NVML_",
)  # never "0 of 0", and no code of theirs


@dataclass(frozen=True)
class Kind:
    """A machine by its knobs, and what GPU 0 then says. `later` turns knobs while it runs."""

    knobs: dict[str, object] = field(default_factory=dict)
    later: dict[str, object] = field(default_factory=dict)
    system: str = "6.1.0-generic"
    driver: bool = True
    says: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    never: tuple[str, ...] = ABSENCE  # in what programs are told


KINDS = {
    "a discrete GPU": Kind(
        says={"memory_total": 48 * GIB, "memory_shared": False, "throttled": "", "slices": (), "error": ""},
        never=(*ABSENCE, "does not", "may not"),
    ),
    # G01
    "unified memory, not told": Kind(
        {"NAME": "NVIDIA GB10", "0_MEMORY": 3, "0_LIMIT": 3},
        says={
            "memory_total": None,
            "memory_used": None,
            "memory_shared": True,
            "power_limit": None,
            "error": "",
        },
    ),
    "unified memory, told": Kind(
        {"NAME": "NVIDIA GB10"}, says={"memory_total": 48 * GIB, "memory_shared": False}
    ),
    "unified memory, told as nothing": Kind(
        {"NAME": "NVIDIA Thor", "0_NO_MEMORY": 1}, says={"memory_total": None, "memory_shared": True}
    ),
    "unified memory, told while it runs": Kind(
        {"NAME": "NVIDIA GB10", "0_MEMORY": 3},
        later={"0_MEMORY": 0},
        says={"memory_total": 48 * GIB, "memory_shared": False},
    ),
    "a discrete GPU that does not tell its memory": Kind(
        {"0_MEMORY": 3},
        says={"memory_total": None, "memory_shared": False, "error": ""},
        never=(*ABSENCE, '"memory_shared": true'),
    ),
    # G02
    "lost at the start": Kind(
        {"GPUS": 4, "0_HANDLE": 15}, says={"error": LOST, "utilisation": None, "memory_total": None}
    ),
    "lost while it runs": Kind(
        {"GPUS": 4},
        later={"0_HANDLE": 15},
        says={"error": LOST, "utilisation": None, "name": "NVIDIA RTX 6000 Ada Generation"},
    ),
    "lost between two values": Kind(
        {"0_TEMPERATURE": 15},
        says={"error": LOST, "memory_total": None, "name": "NVIDIA RTX 6000 Ada Generation"},
    ),
    "fallen off, no longer counted": Kind(
        {"GPUS": 4}, later={"GONE": 0}, says={"error": LOST, "index": 0, "utilisation": None}
    ),
    "all fallen off": Kind({"GPUS": 2}, later={"GPUS": 0}, says={"error": LOST}),
    "well again": Kind({"0_HANDLE": 15}, later={"0_HANDLE": 0}, says={"error": "", "lost_at": None}),
    "lacks power": Kind({"0_HANDLE": 8}, says={"error": "The GPU lacks power. Check its power cables."}),
    "needs a reset": Kind(
        {"0_MEMORY": 16}, says={"error": "The GPU needs a reset before it can be used again."}
    ),
    "one value fails": Kind(
        {"0_TEMPERATURE": 999}, says={"temperature": None, "memory_total": 48 * GIB, "error": ""}
    ),
    "no power and no limit, as of a laptop": Kind(
        {"0_POWER": 3, "0_LIMIT": 3}, says={"power": None, "power_limit": None, "error": ""}
    ),
    "noise for a name": Kind({"0_NOISE": 1}, says={"name": "", "error": "", "memory_total": 48 * GIB}),
    "noise for a name while it runs": Kind(
        later={"0_NOISE": 1}, says={"name": "NVIDIA RTX 6000 Ada Generation", "error": ""}
    ),
    "does not tell its UUID": Kind({"0_UUID": 3}, says={"uuid": "", "index": 0, "error": ""}),
    # clocks
    "hot": Kind({"0_REASONS": 0x20}, says={"throttled": "Slowed down by heat.", "throttle_bad": True}),
    "hot, by its hardware, at its power limit": Kind(
        {"0_REASONS": 0x4C}, says={"throttled": "Slowed down by heat.", "throttle_bad": True}
    ),
    "braked by its supply": Kind(
        {"0_REASONS": 0x8C},
        says={"throttled": "Slowed down: its power supply brakes it.", "throttle_bad": True},
    ),
    "slowed by its hardware": Kind(
        {"0_REASONS": 0xC},
        says={"throttled": "Slowed down by its hardware: heat or power.", "throttle_bad": True},
    ),
    "at its power limit": Kind(
        {"0_REASONS": 0x4}, says={"throttled": "At its power limit.", "throttle_bad": False}
    ),
    "idle, with fixed clocks": Kind(
        {"0_REASONS": 0x1 | 0x2 | 0x10 | 0x100}, says={"throttled": "", "throttle_bad": False}
    ),
    "cooled down": Kind(
        {"0_REASONS": 0x20}, later={"0_REASONS": 0}, says={"throttled": "", "throttle_bad": False}
    ),
    "does not tell why it is slow": Kind(
        {"0_CLOCKS": 3, "0_REASONS": 0x20}, says={"throttled": "", "error": ""}
    ),
    # processes
    "WSL2": Kind(
        {"0_PROCESSES": 3},
        system=WSL,
        says={
            "processes": (),
            "processes_hidden": "Under WSL, Windows does not tell which processes use it.",
            "error": "",
        },
        never=(*ABSENCE, "may not see"),
    ),
    "WSL2 that shows them": Kind(system=WSL, says={"processes_hidden": ""}, never=("WSL",)),
    "WSL2 and no right": Kind(
        {"0_PROCESSES": 4},
        system=WSL,
        says={"processes_hidden": "This user may not see the processes on it."},
    ),
    "no right to see processes": Kind(
        {"0_PROCESSES": 4},
        says={"processes": (), "processes_hidden": "This user may not see the processes on it.", "error": ""},
        never=(*ABSENCE, "WSL"),
    ),
    "a vGPU, which knows of no processes": Kind(
        {"0_PROCESSES": 3}, says={"processes_hidden": "It does not tell which processes use it.", "error": ""}
    ),
    "processes fail for another reason": Kind(
        {"0_PROCESSES": 999},
        says={"processes_hidden": "The driver does not tell which processes use it at the moment."},
    ),
    # drivers
    "no driver": Kind(driver=False, reason="No NVIDIA driver is installed.", never=("Reboot",)),
    "driver not loaded": Kind({"INIT": 9}, reason="The NVIDIA driver is installed but not loaded.", never=()),
    "a driver without a GPU": Kind(
        {"GPUS": 0}, reason="The NVIDIA driver is there and shows no GPU.", never=()
    ),
    "no right to use the driver": Kind({"INIT": 4}, reason="This user may not use the NVIDIA driver."),
    # G03
    "driver updated before the start": Kind({"INIT": 18}, reason=DIFFER),
    "driver updated while it runs": Kind(later={"COUNT_ERROR": 18}, reason=DIFFER),
    "driver updated between two values": Kind(later={"1_POWER": 18}, reason=DIFFER),
    "driver updated while one is lost": Kind({"0_HANDLE": 15}, later={"0_HANDLE": 18}, reason=DIFFER),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_each_kind_of_machine_says(kind: Kind, request: pytest.FixtureRequest) -> None:
    turn = request.getfixturevalue("fake_nvml" if kind.driver else "no_driver")
    reader = GpuReader(system=kind.system)
    if kind.knobs:
        turn(**kind.knobs)
    read = reader.read()
    if kind.later:
        turn(**kind.later)
        reader.read()
        read = reader.read()  # it stays so
    assert read.reason == kind.reason
    assert bool(read.gpus) == (not kind.reason)  # a card or a sentence, never both, never nothing
    told = json.dumps(read.as_json())
    assert [words for words in (*kind.never, *NOTHING) if words in told] == []
    assert as_heard(read) == read
    if not kind.reason:
        first, *others = read.gpus
        for name, value in kind.says.items():
            assert getattr(first, name) == value, name
        assert bool(first.error) == (first.lost_at is not None)
        if "GPUS" not in kind.later:  # whatever the first one is
            assert others and all(one.error == "" and one.utilisation is not None for one in others)


def test_only_what_somebody_must_mend_is_out_of_reach(fake_nvml: Turn) -> None:
    """An engine is not even tried then."""
    answers = {0: False, 1: False, 4: True, 9: False, 18: True, 999: True}
    for code, is_out in answers.items():
        fake_nvml(INIT=code)
        assert GpuReader().read().out_of_reach == is_out, code


def test_a_gpu_in_slices_tells_of_each_and_who_uses_it(fake_nvml: Turn) -> None:
    fake_nvml(**{"0_MIG": 2, "NAME": "NVIDIA A100-SXM4-80GB", "PID": 1000, "EVERYWHERE": 1, "PROCESSES": 2})
    read = GpuReader().read()
    first, second = read.gpus
    assert [(one.name, one.memory_used, one.memory_total) for one in first.slices] == [
        ("1g.10gb", 1 * GIB, 10 * GIB),
        ("1g.10gb", 2 * GIB, 10 * GIB),
    ]
    assert len({one.uuid for one in first.slices}) == 2
    assert (first.utilisation, first.memory_total, first.error) == (None, 48 * GIB, "")
    on_slices = [[process.pid for process in one.processes] for one in first.slices]
    assert on_slices == [[1010, 1011], [1020, 1021]]
    assert [process.pid for process in first.processes] == [1010, 1011, 1020, 1021]
    assert first.processes_hidden == "" and second.slices == ()
    assert [process.pid for process in second.processes] == [1100, 1101]
    told = first.as_json()["slices"][1]
    assert told["processes"] == [{"pid": pid, "memory_bytes": 3 * GIB} for pid in (1020, 1021)]
    assert as_heard(read) == read


def test_slices_fail_as_other_values_do(fake_nvml: Turn) -> None:
    fake_nvml(**{"0_MIG": 1, "0_PROCESSES": 4, "0_MEMORY": 3})
    first = GpuReader().read().gpus[0]
    (part,) = first.slices
    assert (part.processes, part.memory_total, part.name) == ((), None, "1g.10gb")
    assert (first.processes_hidden, first.error) == ("This user may not see the processes on it.", "")
    fake_nvml(**{"0_PROCESSES": 15})
    assert GpuReader().read().gpus[0].error == LOST


def test_processes_whose_memory_is_not_told_are_named_all_the_same(fake_nvml: Turn) -> None:
    fake_nvml(PID=1000, PROCESSES=3, NO_PROCESS_MEMORY=1)
    found = GpuReader().read().gpus[0].processes
    assert [(one.pid, one.memory) for one in found] == [(1000, None), (1001, None), (1002, None)]


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
