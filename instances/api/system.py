"""This machine, for programs."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest
from ninja import Router

from instances import gpu_owners
from instances.models import Instance
from instances.states import State
from instances.vllm import engines
from monitoring.host import HostReader
from monitoring.nvml import GpuReader

from .shapes import Json

system = Router(tags=["system"])
host_reader = HostReader(Path(settings.LLMOPS_DATA))
gpu_reader = GpuReader()


@system.get("/status")
def status(request: HttpRequest) -> Json:
    """CPU, memory, disk, GPUs, engines, and instances by state."""
    working = [(one, one.engine) for one in engines.every() if one.engine]
    counts = Instance.objects.counts_by_state()
    return {
        **host_reader.read().as_json(),
        "gpus": gpu_reader.read().as_json()["gpus"],
        "engines": [
            {
                "path": str(engine.path),
                "version": engine.version,
                "accelerator": engine.accelerator,
                "default": found.default,
            }
            for found, engine in working
        ],
        "instances": {state.value: counts.get(state.value, 0) for state in State},
    }


@system.get("/gpu")
def gpu(request: HttpRequest) -> Json:
    """Per GPU what it is, does and holds, and who claims it; without one an empty list and the reason."""
    return gpu_owners.as_json(gpu_reader.read())
