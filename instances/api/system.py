"""This machine, for programs."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import HttpRequest
from ninja import Router

from instances import gpu_owners, scraping
from instances.models import Instance
from instances.states import State
from instances.vllm import engines
from monitoring import latest
from monitoring.gpu import GpuReadings

from .shapes import Json

system = Router(tags=["system"])


@system.get("/status")
def status(request: HttpRequest) -> Json:
    """CPU, memory, disk, GPUs, engines, and instances by state."""
    working = [(one, one.engine) for one in engines.every() if one.engine]
    counts = Instance.objects.counts_by_state()
    return {
        **latest.host().as_json(),
        "gpus": _gpus().as_json()["gpus"],
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
    return gpu_owners.as_json(_gpus())


@system.get("/targets")
def targets(request: HttpRequest) -> list[Json]:
    """The engines for Prometheus' HTTP service discovery: each is scraped through us, with the caller's key."""
    return scraping.targets(request.get_host(), request.scheme or "http")


def _gpus() -> GpuReadings:
    """A driver that hangs holds up no call."""
    return latest.gpus() or GpuReadings([], "The NVIDIA driver does not answer.", datetime.now(UTC))
