from __future__ import annotations

import datetime as dt
import os
from typing import Any

import pytest

from accounts.models import User
from instances import free_memory
from instances.states import State
from instances.vllm.fit.room import Holder
from monitoring.gpu import GpuProcess, GpuReading, GpuReadings
from monitoring.host import HostReading
from monitoring.processes import Usage
from monitoring.sampler import Readings, TargetReading
from tests.instances.made import make_instance, make_launch

pytestmark = pytest.mark.django_db
GIB = 2**30
NOW = dt.datetime.now(dt.UTC)


def host(used: float = 8, total: float = 32) -> HostReading:
    return HostReading(NOW, 1.0, 2, 0.1, int(used * GIB), int(total * GIB), 0, 0, 0, 0, 0, 0)


def readings(gpus: list[GpuReading], targets: dict[str, int] | None = None, reason: str = "") -> Readings:
    found = {name: TargetReading(Usage(1.0, size, 1), None) for name, size in (targets or {}).items()}
    return Readings(host(), GpuReadings(gpus, reason, NOW), found, NOW)


def card(index: int = 0, used: float = 4, total: float = 24, **more: Any) -> GpuReading:
    return GpuReading(index, f"GPU-{index}", "RTX", int(used * GIB), int(total * GIB), **more)


def test_a_gpu_is_a_place_and_who_holds_it_is_named(mia: User) -> None:
    make_launch(make_instance(mia, "qwen"), State.RUNNING, pid=os.getpid(), gpus=[0])
    processes = (GpuProcess(os.getpid(), 3 * GIB),)
    (place,) = free_memory.room_of("cuda", readings([card(processes=processes)])).places
    assert (place.label, place.index, place.total, place.free) == ("GPU 0", 0, 24 * GIB, 20 * GIB)
    assert place.holders == (Holder("qwen", 3 * GIB), Holder(free_memory.OTHERS, GIB))


def test_what_an_instance_that_goes_first_holds_is_free(mia: User) -> None:
    leaving = make_instance(mia, "qwen")
    make_launch(leaving, State.RUNNING, pid=os.getpid(), gpus=[0])
    processes = (GpuProcess(os.getpid(), 3 * GIB),)
    (place,) = free_memory.room_of("cuda", readings([card(processes=processes)]), leaving=leaving).places
    assert place.free == 23 * GIB
    assert place.holders == (Holder(free_memory.OTHERS, GIB),)


def test_a_gpu_that_shares_memory_with_the_system_has_the_machines() -> None:
    """GB10 says "not supported" to how much memory it has (G01)."""
    unified = GpuReading(0, "GPU-0", "NVIDIA GB10", memory_shared=True, utilisation=0.0)
    (place,) = free_memory.room_of("cuda", readings([unified])).places
    assert (place.total, place.free, place.shared) == (32 * GIB, 24 * GIB, True)


def test_a_discrete_gpu_that_does_not_say_is_no_place() -> None:
    room = free_memory.room_of("cuda", readings([GpuReading(0, "GPU-0", "RTX")]))
    assert (room.places, room.reason) == ((), "GPU 0 does not say how much memory it has.")


def test_a_lost_gpu_is_no_place_and_the_others_stay() -> None:
    lost = GpuReading(0, "GPU-0", "RTX", error="The GPU is lost.")
    room = free_memory.room_of("cuda", readings([lost, card(1)]))
    assert [place.index for place in room.places] == [1]
    assert room.reason == "GPU 0: The GPU is lost."


def test_without_a_gpu_the_drivers_reason_stays() -> None:
    room = free_memory.room_of("cuda", readings([], reason="No NVIDIA driver is installed."))
    assert (room.places, room.reason) == ((), "No NVIDIA driver is installed.")


def test_a_driver_that_does_not_answer_is_not_waited_for(monkeypatch: Any) -> None:
    monkeypatch.setattr("monitoring.latest.gpus_now", lambda: None)
    monkeypatch.setattr("monitoring.latest.readings", lambda: None)
    assert free_memory.room_of("cuda").reason.startswith("The NVIDIA driver does not answer")


def test_ram_is_the_place_of_a_cpu_engine(mia: User) -> None:
    launch = make_launch(make_instance(mia, "tiny"), State.RUNNING)
    (place,) = free_memory.room_of("cpu", readings([], {f"launch:{launch.pk}": 2 * GIB})).places
    assert (place.label, place.free, place.total) == ("RAM", 24 * GIB, 32 * GIB)
    assert set(place.holders) == {Holder("tiny", 2 * GIB), Holder(free_memory.OTHERS, 6 * GIB)}


def test_shares_are_never_more_than_what_is_used(mia: User) -> None:
    launch = make_launch(make_instance(mia, "tiny"), State.RUNNING)
    (place,) = free_memory.room_of("cpu", readings([], {f"launch:{launch.pk}": 40 * GIB})).places
    assert sum(holder.bytes for holder in place.holders) == 8 * GIB


def test_without_readings_the_machine_is_looked_at(monkeypatch: Any) -> None:
    monkeypatch.setattr("monitoring.latest.readings", lambda: None)
    (place,) = free_memory.room_of("cpu").places
    assert 0 < place.free <= place.total
