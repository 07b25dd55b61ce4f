"""What a driver or a GPU in trouble means for starts, and for what runs already."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from instances.states import State
from instances.vllm import engines
from monitoring.gpu import NO_DRIVER, GpuReading, GpuReadings
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


@pytest.mark.parametrize("reason", [NO_DRIVER, ""])
def test_without_a_driver_its_engine_itself_is_asked(host: Host, cuda: None, reason: str) -> None:
    """There may be GPUs that NVML does not know of."""
    sees(host, reason=reason)
    host.deploy()
    assert host.step(2).state == State.STARTING


def test_an_engine_on_the_cpu_starts_whatever_the_driver_says(host: Host) -> None:
    sees(host, reason=DIFFER)
    host.deploy()
    assert host.step(2).state == State.STARTING
