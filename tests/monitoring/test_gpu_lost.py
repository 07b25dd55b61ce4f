"""A GPU is known by its UUID: one that is lost keeps its card, and the others keep their numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from monitoring.gpu import GpuReading, GpuReadings
from monitoring.nvml import RETRY, GpuReader

from .conftest import as_heard

Turn = Callable[..., None]
LOST = "The GPU is lost. It needs a reset or a reboot."
POWER = "The GPU lacks power. Check its power cables."


def errors(read: GpuReadings) -> dict[int, str]:
    return {gpu.index: gpu.error for gpu in read.gpus}


def who(gpus: list[GpuReading]) -> list[tuple[int, str, str]]:
    return [(gpu.index, gpu.uuid, gpu.name) for gpu in gpus]


@pytest.mark.parametrize("gone", [0, 2, 3])
def test_one_that_has_fallen_off_keeps_its_card_and_the_others_their_numbers(
    fake_nvml: Turn, gone: int
) -> None:
    fake_nvml(GPUS=4)
    reader = GpuReader()
    before = reader.read().gpus
    fake_nvml(GONE=gone)
    after = reader.read().gpus
    assert who(after) == who(before)
    assert [gpu.error for gpu in after] == [LOST if index == gone else "" for index in range(4)]
    lost = after.pop(gone)
    assert lost.lost_at is not None
    assert [gpu.driver_index for gpu in after] == [0, 1, 2]  # as CUDA calls them now
    assert lost.driver_index is None
    assert reader.read().gpus[gone].lost_at == lost.lost_at  # since when, not until when
    fake_nvml(GONE=-1)
    read = reader.read()
    assert errors(read) == dict.fromkeys(range(4), "")
    back = read.gpus
    assert [gpu.driver_index for gpu in back] == [0, 1, 2, 3]
    assert back[gone].lost_at is None and back[gone].utilisation is not None
    fake_nvml(GONE=gone)
    again = reader.read().gpus[gone].lost_at
    assert again is not None and again > lost.lost_at


@pytest.mark.parametrize("where", ["HANDLE", "UUID", "UTILISATION"])
def test_another_one_is_lost_after_the_first_has_fallen_off(fake_nvml: Turn, where: str) -> None:
    """Its number at the driver is by then that of one which is well."""
    fake_nvml(GPUS=4)
    reader = GpuReader()
    before = reader.read().gpus
    fake_nvml(GONE=0, **{f"2_{where}": 8})
    after = reader.read()
    assert who(after.gpus) == who(before)
    assert errors(after) == {0: LOST, 1: "", 2: POWER, 3: ""}


def test_one_lost_before_it_was_ever_seen_keeps_its_place(fake_nvml: Turn) -> None:
    fake_nvml(GPUS=4, **{"2_HANDLE": 15})
    reader = GpuReader()
    first = reader.read().gpus[2]
    assert (first.index, first.uuid, first.name, first.error) == (2, "", "", LOST)
    fake_nvml(GONE=2)
    fallen = reader.read()
    assert errors(fallen) == {0: "", 1: "", 2: LOST, 3: ""}
    assert fallen.gpus[2].lost_at == first.lost_at
    fake_nvml(GONE=-1, **{"2_HANDLE": 0})
    back = reader.read()
    assert errors(back) == dict.fromkeys(range(4), "")
    assert back.gpus[2].uuid and back.gpus[2].lost_at is None
    fake_nvml(**{"2_HANDLE": 15})
    assert reader.read().gpus[2].lost_at != first.lost_at  # that was another time


@pytest.mark.parametrize("code", [3, 999])
def test_one_that_stops_telling_its_uuid_is_still_itself(fake_nvml: Turn, code: int) -> None:
    reader = GpuReader()
    before = reader.read().gpus
    fake_nvml(**{"1_UUID": code})
    after = reader.read()
    assert who(after.gpus) == who(before)
    assert errors(after) == {0: "", 1: ""}


def test_one_that_is_new_takes_a_number_of_its_own(fake_nvml: Turn) -> None:
    fake_nvml(GPUS=4, GONE=1)  # the driver shows 0, 2 and 3
    reader = GpuReader()
    assert [gpu.index for gpu in reader.read().gpus] == [0, 1, 2]
    fake_nvml(GONE=-1)  # and now the one that stood between them
    read = reader.read()
    assert [(gpu.index, gpu.driver_index) for gpu in read.gpus] == [(0, 0), (1, 2), (2, 3), (3, 1)]
    assert len({gpu.uuid for gpu in read.gpus}) == 4


def test_since_when_survives_a_message_and_a_driver_that_was_away(fake_nvml: Turn) -> None:
    now = 0.0
    fake_nvml(**{"1_HANDLE": 15})
    reader = GpuReader(lambda: now)
    read = reader.read()
    lost = read.gpus[1]
    assert lost.lost_at is not None and lost.as_json()["lost_at"] == lost.lost_at.isoformat()
    assert as_heard(read) == read
    fake_nvml(COUNT_ERROR=18)
    assert reader.read().gpus == []
    fake_nvml(COUNT_ERROR=0)
    now += RETRY
    assert reader.read().gpus[1].lost_at == lost.lost_at


def test_a_driver_whose_start_hangs_holds_up_its_own_thread_only(fake_nvml: Turn) -> None:
    fake_nvml(INIT_HANG=1)
    found: list[GpuReadings] = []
    thread = threading.Thread(target=lambda: found.append(GpuReader().read()), daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive() and not found
    fake_nvml(INIT_HANG=0)
    thread.join(10)
    assert [len(read.gpus) for read in found] == [2]
