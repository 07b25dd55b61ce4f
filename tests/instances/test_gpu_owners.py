from __future__ import annotations

import datetime as dt
import os

from accounts.models import User
from instances.gpu_owners import as_json
from instances.states import State
from monitoring.gpu import GpuProcess, GpuReading, GpuReadings
from tests.instances.made import make_instance, make_launch


def on_gpu(*pids: int) -> GpuReadings:
    processes = tuple(GpuProcess(pid, 2**30) for pid in pids)
    return GpuReadings([GpuReading(0, "GPU-0", "H100", processes=processes)], "", dt.datetime.now(dt.UTC))


def test_processes_on_a_gpu_are_told_by_their_instance_or_by_their_owner(mia: User) -> None:
    make_launch(make_instance(mia, "qwen"), State.RUNNING, pid=os.getppid(), gpus=[0])
    make_launch(make_instance(mia, "gone"), State.STOPPED, pid=1, gpus=[0])
    (gpu,) = as_json(on_gpu(os.getpid(), 1, 2**22 + 1))["gpus"]
    assert gpu["claimed_by"] == ["qwen"]
    assert [one["instance"] for one in gpu["processes"]] == ["qwen", None, None]
    assert f"(process {os.getpid()} of" in gpu["processes"][0]["described"]


def test_without_a_gpu_the_reason_stays(mia: User) -> None:
    reason = "No NVIDIA driver is installed."
    assert as_json(GpuReadings([], reason, dt.datetime.now(dt.UTC))) == {"gpus": [], "reason": reason}
