import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.template.loader import render_to_string

from monitoring.cards import SystemCards, amount, duration, size
from monitoring.gpu import GpuProcess, GpuReading, GpuReadings, GpuSlice
from monitoring.host import HostReading
from monitoring.nvml import GpuReader
from monitoring.processes import Usage, described
from monitoring.sampler import Readings, TargetReading

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
GIB = 2**30

HOST = HostReading(
    at=NOW,
    cpu_percent=18.2,
    threads=32,
    load=5.7,
    memory_used=int(41.2 * GIB),
    memory_total=126 * GIB,
    swap_used=0,
    swap_total=0,
    disk_used=1188 * 10**9,
    disk_free=612 * 10**9,
    disk_total=1800 * 10**9,
    console_rss=121 * 2**20,
)
GPU = GpuReading(
    index=0,
    uuid="GPU-1",
    name="NVIDIA RTX 6000 Ada Generation",
    memory_used=int(29.1 * GIB),
    memory_total=48 * GIB,
    utilisation=71,
    temperature=64,
    power=218.3,
)
NO_DRIVER = GpuReadings([], "No NVIDIA driver is installed.", NOW)


def readings(host: HostReading | None = HOST, gpus: GpuReadings | None = NO_DRIVER) -> Readings:
    return Readings(host, gpus, {}, NOW)


def gpus(*these: GpuReading) -> GpuReadings:
    return GpuReadings(list(these), "", NOW)


def draw(read: Readings | None, now: datetime = NOW, **context: object) -> str:
    page = render_to_string("monitoring/_system.html", {"system": SystemCards.of(read, now), **context})
    return re.sub(r"\s+", " ", page)


def text(page: str) -> str:
    """The page as it is read."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>|&nbsp;", " ", page)).strip()


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.04, "0.0"), (9.84, "9.8"), (41.2, "41.2"), (99.94, "99.9"), (99.96, "100"), (1188.4, "1,188")],
)
def test_amounts_have_one_decimal_below_100(number: float, shown: str) -> None:
    assert amount(number) == shown


def test_sizes_have_no_idle_zero() -> None:
    assert (size(48.0), size(47.99), size(23.5), size(126.2)) == ("48", "48", "23.5", "126")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(14, "14 s"), (125, "2 min 5 s"), (8040, "2 h 14 min"), (86400, "24 h 0 min")]
)
def test_times_have_the_largest_two_units(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


def test_it_draws_the_row_of_the_machine() -> None:
    page = draw(readings(gpus=gpus(GPU, replace(GPU, index=1))))
    shown = text(page)
    assert "CPU 18 % 32 threads · load 5.7" in shown
    assert "Memory 41.2 of 126 GiB Console: 121 MiB" in shown
    assert "Disk 612 GB free of 1,800 GB" in shown
    assert "GPU 0 RTX 6000 Ada 64 °C · 218 W Memory 29.1 / 48 GiB Busy 71 %" in shown
    assert page.count('class="card snug gpu"') == 2
    assert (
        'id="gpu-1-busy" data-figure="gpu-1-busy-bar" value="71.0" max="100" aria-label="GPU 1 busy"' in page
    )
    assert page.count("<progress") == 7


def test_it_has_one_root_that_can_take_the_rows_place() -> None:
    assert (
        draw(readings()).strip().startswith('<section class="system" id="system" aria-label="This machine">')
    )
    assert 'id="system" aria-label="This machine" hx-swap-oob="outerHTML">' in draw(readings(), oob=True)


def test_without_a_gpu_it_says_why_and_what_happens_then() -> None:
    shown = text(draw(readings()))
    assert "No GPU No NVIDIA driver is installed. Models run on the CPU engine." in shown


def test_a_driver_in_trouble_is_not_shown_as_no_gpu(fake_nvml: Callable[..., None]) -> None:
    fake_nvml(INIT=18)
    page = draw(readings(gpus=GpuReader().read()))
    assert "GPU out of reach The NVIDIA driver and its library differ. Reboot the machine." in text(page)
    assert "No GPU" not in page and "CPU engine" not in page
    assert 'data-state="warn"' in page


def test_a_lost_gpu_keeps_its_card_beside_the_others() -> None:
    lost = GpuReading(0, "GPU-0", "NVIDIA L4", error="The GPU is lost. It needs a reset or a reboot.")
    page = draw(readings(gpus=gpus(lost, replace(GPU, index=1))))
    assert "GPU 0 L4 The GPU is lost. It needs a reset or a reboot. GPU 1" in text(page)
    assert page.count('data-state="error"') == 1
    assert page.count("<progress") == 5


def test_what_is_not_known_is_a_dash_and_never_zero() -> None:
    silent = GpuReading(0, "GPU-0", "NVIDIA L4")
    page = draw(readings(host=replace(HOST, cpu_percent=None, load=None, disk_free=None), gpus=gpus(silent)))
    shown = text(page)
    assert "CPU – % 32 threads Memory" in shown
    assert "Disk – GB free" in shown
    assert "GPU 0 L4 Memory – Busy – %" in shown
    assert page.count("<progress") == 1  # the memory's
    assert page.count('<span class="bar" aria-hidden="true">') == 4


def test_before_the_first_reading_every_card_has_its_place() -> None:
    page = draw(None)
    assert "CPU – % Memory – Disk – GB free GPU No reading yet." in text(page)
    assert page.count("&nbsp;") == 3  # the foot notes keep their height, so that nothing jumps later


def test_a_gpu_without_memory_of_its_own_shows_the_machines() -> None:
    shared = replace(GPU, name="NVIDIA GB10", memory_used=None, memory_total=None, memory_shared=True)
    shown = text(draw(readings(gpus=gpus(shared))))
    assert "Memory, shared with the system 41.2 / 126 GiB" in shown


@pytest.mark.parametrize(
    ("used", "level", "word"),
    [(84, 'class="bar"', ""), (86, 'class="bar warn"', "Filling up"), (96, 'class="bar bad"', "Nearly full")],
)
def test_memory_that_runs_out_has_a_colour_and_a_word(used: int, level: str, word: str) -> None:
    host = replace(HOST, memory_used=used * GIB, memory_total=100 * GIB)
    page = draw(readings(host=host))
    assert f'<progress {level} id="system-memory"' in page
    assert f"of 100 GiB {word + ' · ' if word else ''}Console" in text(page)


def test_numbers_that_stay_away_say_how_old_they_are() -> None:
    assert "Numbers are from" not in draw(readings(), NOW + timedelta(seconds=4))
    shown = text(draw(readings(), NOW + timedelta(seconds=14)))
    assert "Numbers are from 14 s ago . Trying again." in shown


def test_a_driver_that_hangs_makes_only_its_numbers_old() -> None:
    hanging = GpuReadings([GPU], "", NOW - timedelta(seconds=75))
    shown = text(draw(readings(gpus=hanging)))
    assert "GPU numbers are from 1 min 15 s ago . Trying again." in shown


def test_a_gpus_name_cannot_carry_markup() -> None:
    page = draw(readings(gpus=gpus(replace(GPU, name="<script>alert(1)</script>"))))
    assert "<script>" not in page


def test_a_process_on_a_gpu_that_nobody_of_ours_owns_is_named() -> None:
    me, ours, elsewhere = os.getpid(), os.getppid(), 2**22 + 1
    processes = tuple(GpuProcess(pid, 3 * GIB) for pid in (me, ours, elsewhere))
    read = replace(
        readings(gpus=gpus(replace(GPU, processes=processes))),
        targets={"launch:1": TargetReading(Usage(1.0, GIB, 1, pids=(ours,)), None)},
    )
    (card,) = SystemCards.of(read, NOW).gpus
    assert card.strangers == [f"{described(me)}, 3.0 GiB"]
    assert f"Not ours: {described(me)}, 3.0 GiB" in text(draw(read))


def test_a_gpus_card_tells_of_heat_slices_users_and_what_is_hidden() -> None:
    busy = replace(
        GPU,
        throttled="Slowed down by heat.",
        throttle_bad=True,
        slices=(GpuSlice("MIG-1", "1g.10gb", 2 * GIB, 10 * GIB), GpuSlice("MIG-2", "2g.20gb", None, None)),
        processes=(GpuProcess(os.getppid(), 3 * GIB), GpuProcess(2**22 + 1, None)),
        processes_hidden="This user may not see the processes on it.",
    )
    target = TargetReading(Usage(1.0, GIB, 1, pids=(os.getppid(), 2**22 + 1)), None)
    read = replace(readings(gpus=gpus(busy)), targets={"launch:7": target})
    page = render_to_string(
        "monitoring/_system.html", {"system": SystemCards.of(read, NOW, names={"launch:7": "tiny"})}
    )
    shown = text(page)
    assert "Slowed down by heat. Slice 1g.10gb 2.0 / 10 GiB Slice 2g.20gb – / – GiB tiny, 3.0 GiB" in shown
    assert "This user may not see the processes on it." in shown and "Not ours" not in shown
    assert 'data-state="warn"' in page


def test_its_power_limit_is_said_without_alarm() -> None:
    page = draw(readings(gpus=gpus(replace(GPU, throttled="At its power limit."))))
    assert "At its power limit." in page and 'data-state="warn"' not in page


def test_a_lost_gpu_says_since_when() -> None:
    lost = GpuReading(0, "GPU-0", "NVIDIA L4", error="The GPU is lost.", lost_at=NOW)
    assert "The GPU is lost. Since 03:04 . Models that use it do not start." in text(
        draw(readings(gpus=gpus(lost)))
    )


def test_swap_in_use_is_said() -> None:
    host = replace(HOST, swap_used=int(1.2 * GIB), swap_total=4 * GIB)
    assert "Swap 1.2 of 4 GiB · Console: 121 MiB" in text(draw(readings(host=host)))
    assert "Swap" not in text(draw(readings()))


def test_when_nobody_measures_it_says_so() -> None:
    page = render_to_string("monitoring/_system.html", {"system": SystemCards.of(None, NOW, silent=True)})
    assert "the supervisor does not run" in page
