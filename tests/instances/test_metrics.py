from __future__ import annotations

import datetime as dt
import re
import time
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances import metrics
from instances.states import State
from monitoring import latest, panels
from monitoring.gpu import GpuProcess, GpuReading, GpuReadings
from monitoring.host import DiskReading, HostReading
from monitoring.models import TICK, Sample, Subject
from monitoring.sampler import Readings
from tests.instances.made import in_state, make_instance, make_launch

pytestmark = pytest.mark.django_db
GIB = 2**30


@pytest.fixture
def page(client: Client, mia: User) -> Client:
    client.force_login(mia)
    return client


def put(subject: str, **values: Any) -> None:
    owner, _ = Subject.objects.get_or_create(name=subject)
    at = int(time.time()) // TICK * TICK - TICK
    Sample.objects.create(subject=owner, step=TICK, at=at, values={"s": TICK, **values})


def html(page: Client, address: str, **headers: str) -> str:
    answer = page.get(address, headers=headers)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def test_an_instance_shows_its_charts_and_their_tables(page: Client, mia: User) -> None:
    instance = in_state(mia, State.RUNNING, ready_at=timezone.now())
    put(f"launch:{instance.launches.get().pk}", cpu=[5, 750.0, 150.0, 150.0])
    shown = html(page, f"/instances/{instance.pk}/metrics/")
    assert shown.count("<figure") == len(panels.LAUNCH) - 1  # it has no GPU
    assert 'aria-label="CPU, 100 is one thread, the last 15 min: between 150 and 150 %.' in shown
    tables = html(page, f"/instances/{instance.pk}/metrics/?as=tables&range=1h")
    assert "<figure" not in tables and '<td class="num">150</td>' in tables
    assert 'range=1h&amp;as=tables"' in tables


def test_its_overview_shows_the_first_ones_alone(page: Client, mia: User) -> None:
    instance = in_state(mia, State.RUNNING, ready_at=timezone.now())
    shown = html(page, f"/instances/{instance.pk}/")
    assert shown.count("<figure") == 3 and "?range=7d" not in shown


def test_charts_are_drawn_anew_alone(page: Client, mia: User) -> None:
    instance = in_state(mia, State.RUNNING, ready_at=timezone.now())
    part = html(page, f"/instances/{instance.pk}/metrics/?range=24h", HX_Target="charts")
    assert part.strip().startswith('<section class="stack" id="charts"') and "<h1" not in part
    assert f'data-point="{int(time.time()) // 600}"' in part


@pytest.mark.parametrize("query", ["?range=nonsense", "?range=", "?as=7"])
def test_a_range_that_is_not_known_is_the_usual_one(page: Client, mia: User, query: str) -> None:
    instance = in_state(mia, State.RUNNING, ready_at=timezone.now())
    assert 'aria-current="true">15 min' in html(page, f"/instances/{instance.pk}/metrics/{query}")


def test_launches_stops_and_crashes_are_marks(mia: User) -> None:
    instance = make_instance(mia)
    now = timezone.now()
    make_launch(instance, state=State.STOPPED, ended_at=now)
    make_launch(instance, state=State.ERROR, ended_at=now, error="Out of memory.")
    make_launch(instance, state=State.STOPPED, ended_at=now - dt.timedelta(days=2))
    launches = metrics._launches_within(instance, panels.RANGES["15m"])
    assert len(launches) == 2
    assert [(mark.kind, mark.label) for mark in metrics.marks(launches)] == [
        ("launch", "Launch"),
        ("stop", "Stopped"),
        ("launch", "Launch"),
        ("crash", "Out of memory."),
    ]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Readings:
    now = dt.datetime.now(dt.UTC)
    host = HostReading(
        at=now,
        cpu_percent=18.2,
        threads=2,
        load=0.5,
        memory_used=8 * GIB,
        memory_total=24 * GIB,
        swap_used=GIB,
        swap_total=4 * GIB,
        disk_used=100 * 10**9,
        disk_free=300 * 10**9,
        disk_total=400 * 10**9,
        console_rss=100 * 2**20,
        cores=(10.0, 90.5),
        model_disks=(DiskReading("/models", 1 * 10**12, 2 * 10**12, 3 * 10**12),),
    )
    gpu = GpuReading(
        0, "GPU-1", "NVIDIA L4", memory_used=GIB, memory_total=24 * GIB, processes=(GpuProcess(1, GIB),)
    )
    readings = Readings(host, GpuReadings([gpu], "", now), {}, now)
    monkeypatch.setattr(latest, "_heard", readings)
    return readings


def test_the_machine_shows_threads_memory_disks_and_who_is_on_its_gpus(
    page: Client, measured: Readings
) -> None:
    shown = html(page, "/machine/")
    assert 'data-figure="core-1" value="90.5"' in shown
    assert '<span data-figure="swap-used">1.0</span> GiB' in shown
    assert "/models" in shown and '<span data-figure="models-0-free">2,000</span> GB' in shown
    assert "not ours" in shown and "1.0 GiB" in shown
    assert "GPU 0, NVIDIA L4" in shown


def test_the_machine_before_the_first_reading(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "_heard", None)
    assert "No reading yet." in html(page, "/machine/")


def test_the_machine_is_for_those_who_are_signed_in(client: Client) -> None:
    User.objects.create_superuser("root", password="a-long-password")
    assert client.get("/machine/").status_code == 302
