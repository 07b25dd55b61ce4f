"""What a driver or a GPU in trouble means for starts, and for what runs already."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from django.utils import timezone

from instances.states import State
from instances.vllm import engines
from monitoring.gpu import CLOSED, NO_DRIVER, GpuReading, GpuReadings
from monitoring.sampler import Readings

from .conftest import Host

DIFFER = "The NVIDIA driver and its library differ. Reboot the machine."
LOST = "The GPU is lost. It needs a reset or a reboot."


def sees(host: Host, *gpus: GpuReading, reason: str = "") -> None:
    now = dt.datetime.now(dt.UTC)
    host.reconciler.readings = Readings(None, GpuReadings(list(gpus), reason, now), {}, now)


@pytest.fixture
def cuda(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engines.Engine(Path("/opt/vllm/bin/vllm"), "0.33.0", "cuda")
    monkeypatch.setattr(engines, "find", lambda *_: engine)


def test_a_driver_that_differs_refuses_a_start_instead_of_trying_it(host: Host, cuda: None) -> None:
    sees(host, reason=DIFFER)
    host.deploy()
    launch = host.step(2)
    assert (launch.state, launch.error) == (State.ERROR, DIFFER)
    assert "start it again" in launch.advice and launch.pid is None
    assert launch.restart_at is None  # trying again would change nothing


def test_what_runs_goes_on_under_a_driver_that_differs(host: Host, cuda: None) -> None:
    sees(host, GpuReading(0, "GPU-0", "H100"))
    assert host.running().state == State.RUNNING
    sees(host, reason=DIFFER)
    assert host.step(5).state == State.RUNNING


@pytest.mark.parametrize(("chosen", "state"), [([0], State.ERROR), ([1], State.STARTING)])
def test_only_a_start_on_the_lost_gpu_is_refused(
    host: Host, cuda: None, chosen: list[int], state: State
) -> None:
    sees(host, GpuReading(0, "GPU-0", "H100", error=LOST), GpuReading(1, "GPU-1", "H100"))
    host.deploy(config={"gpus": chosen})
    launch = host.step(2)
    assert launch.state == state
    assert launch.error == (f"GPU 0, H100: {LOST}" if state == State.ERROR else "")


def test_a_lost_gpu_is_known_by_its_name_too(host: Host, cuda: None) -> None:
    sees(host, GpuReading(0, "GPU-1a2b-3c", "", error=LOST), GpuReading(1, "GPU-77", "H100"))
    host.deploy(config={"gpus": ["GPU-77", "GPU-1a2b"]})  # it has one rank and takes the first
    assert host.step(2).state == State.STARTING
    host.deploy("b", config={"gpus": ["GPU-1a2b"]})
    launch = host.step(2)
    assert (launch.state, launch.error) == (State.ERROR, f"GPU 0: {LOST}")


def test_what_ran_on_a_gpu_that_is_lost_is_not_begun_again_on_it(
    host: Host, cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sees(host, GpuReading(0, "GPU-0", "H100"))
    launch = host.running(config={"gpus": [0]})
    sees(host, GpuReading(0, "GPU-0", "H100", error=LOST))
    assert host.step(3).state == State.RUNNING  # its own answers tell how it is
    host.launcher.end(launch.pk, code=1)
    host.step(3)
    later = timezone.now() + dt.timedelta(seconds=400)
    monkeypatch.setattr(timezone, "now", lambda: later)
    host.now += 400
    again = host.step(2)
    assert again.pk != launch.pk and again.pid is None
    assert (again.state, again.error, again.restart_at) == (State.ERROR, f"GPU 0, H100: {LOST}", None)


def test_an_engine_gets_its_own_gpu_although_the_driver_numbers_them_anew(host: Host, cuda: None) -> None:
    """GPU 0 has fallen off, so CUDA calls GPU 2 by the number 1."""
    sees(
        host,
        GpuReading(0, "GPU-0", "H100", error=LOST),
        GpuReading(1, "GPU-1", "H100", driver_index=0),
        GpuReading(2, "GPU-2", "H100", driver_index=1),
    )
    host.deploy(config={"gpus": ["2", "1"], "tensor_parallel_size": 2})
    launch = host.step(2)
    assert (launch.state, launch.gpus) == (State.STARTING, [2, 1])
    assert host.launcher.started[0].env["CUDA_VISIBLE_DEVICES"] == "1,0"


@pytest.mark.parametrize("reason", [NO_DRIVER, CLOSED, ""])
def test_without_a_driver_its_engine_itself_is_asked(host: Host, cuda: None, reason: str) -> None:
    """There may be GPUs that NVML does not know of."""
    sees(host, reason=reason)
    host.deploy()
    assert host.step(2).state == State.STARTING


def test_an_engine_on_the_cpu_starts_whatever_the_driver_says(host: Host) -> None:
    sees(host, reason=DIFFER)
    host.deploy()
    assert host.step(2).state == State.STARTING
