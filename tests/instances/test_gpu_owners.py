from __future__ import annotations

import datetime as dt
import os

import psutil

from accounts.models import User
from instances.gpu_owners import as_json
from instances.states import State
from monitoring.gpu import GpuProcess, GpuReading, GpuReadings, GpuSlice
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
    me = psutil.Process().username()
    assert f"(process {os.getpid()} of {me})" in gpu["processes"][0]["described"]
    assert [one["owner"] for one in gpu["processes"]] == [me, psutil.Process(1).username(), None]


def test_processes_on_a_slice_are_told_as_those_on_the_whole(mia: User) -> None:
    make_launch(make_instance(mia, "qwen"), State.RUNNING, pid=os.getppid(), gpus=[0])
    process = GpuProcess(os.getpid(), 2**30)
    part = GpuSlice("MIG-0", "1g.10gb", 2**30, 2**33, (process,))
    whole = GpuReading(0, "GPU-0", "A100", processes=(process,), slices=(part,))
    (gpu,) = as_json(GpuReadings([whole], "", dt.datetime.now(dt.UTC)))["gpus"]
    (told,) = gpu["slices"][0]["processes"]
    assert told == gpu["processes"][0] and told["instance"] == "qwen" and told["owner"]


def test_without_a_gpu_the_reason_stays(mia: User) -> None:
    reason = "No NVIDIA driver is installed."
    assert as_json(GpuReadings([], reason, dt.datetime.now(dt.UTC))) == {"gpus": [], "reason": reason}
