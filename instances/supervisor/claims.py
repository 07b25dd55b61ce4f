"""Who claims which GPU, and when a start must wait for another one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from instances.models import Launch
from instances.states import State
from monitoring.gpu import GpuReadings

DEFAULT_SHARE = 0.9  # of a GPU's memory, where nothing is said; vLLM's own default is about that
MOST = 64  # GPUs of one host
PARALLEL = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")


def gpus_of(config: Mapping[str, Any], accelerator: str) -> list[int]:
    """The indices of the GPUs that an engine takes: as many as it has ranks, of the chosen ones the first."""
    if accelerator == "cpu":
        return []
    ranks = _ranks(config)
    numbered = [int(gpu) for gpu in config.get("gpus") or range(ranks) if str(gpu).isdecimal()]
    return numbered[:ranks]  # others are named by what only NVML knows


def named(config: Mapping[str, Any]) -> list[str]:
    """Those that it takes by their UUID, or by how it begins."""
    taken = [str(gpu) for gpu in config.get("gpus") or ()][: _ranks(config)]
    return [name for name in taken if not name.isdecimal()]


def visible(config: Mapping[str, Any], gpus: GpuReadings | None) -> list[str | int]:
    """The chosen GPUs as CUDA numbers them now: when one falls off, those after it move up, but keep their index here.

    Without that an engine would take its neighbour's GPU.
    """
    now = {str(gpu.index): gpu.driver_index for gpu in gpus.gpus} if gpus else {}
    chosen = [(gpu, now.get(str(gpu))) for gpu in config.get("gpus") or ()]
    return [gpu if moved is None else moved for gpu, moved in chosen]


def share_of(config: Mapping[str, Any]) -> float:
    """The share of each GPU's memory that it takes; 0 where its cache has a size of its own."""
    if any(name.replace("_", "-") == "kv-cache-memory-bytes" for name in config.get("args") or {}):
        return 0.0
    return float(config.get("gpu_memory_utilization") or DEFAULT_SHARE)


def waits_for(launch: Launch, live: Iterable[Launch]) -> str:
    """Why this launch may not start yet, as a sentence; empty when it may.

    One start per GPU at a time, because an engine that measures free memory while another one loads gets it wrong;
    and few at once on the whole host, because after a boot all of them would read their weights together.
    """
    starting = [one for one in live if one.state == State.STARTING and one.pk != launch.pk]
    for other in starting:
        if set(other.gpus) & set(launch.gpus):
            return f"Waits until {other.instance.name} has started: one start per GPU at a time."
    if len(starting) >= settings.STARTS_AT_ONCE:
        return f"Waits its turn: {len(starting)} others are starting."
    return ""


def crowded(launch: Launch, live: Iterable[Launch]) -> tuple[int, list[Launch]] | None:
    """A GPU on which the shares of all who claim it are more than the whole, and who they are."""
    for gpu in launch.gpus:
        others = [one for one in live if gpu in one.gpus and _was_first(one, launch)]
        shares = [share_of(one.revision.config) for one in (launch, *others)]
        if others and sum(shares) > 1.0 + 1e-9 and shares[0]:
            return gpu, others
    return None


def _was_first(other: Launch, launch: Launch) -> bool:
    """Of two that have not begun, the older one has the claim."""
    return other.pk < launch.pk or (other.pk > launch.pk and other.state != State.INITIALIZING)


def _ranks(config: Mapping[str, Any]) -> int:
    given = {name.replace("_", "-"): value for name, value in (config.get("args") or {}).items()}
    given["tensor-parallel-size"] = config.get("tensor_parallel_size") or given.get("tensor-parallel-size")
    return min(math.prod(_whole(given.get(name)) for name in PARALLEL), MOST)


def _whole(value: object) -> int:
    """A count of ranks; what is not understood is the engine's to refuse."""
    return (
        max(1, int(value)) if isinstance(value, int | str) and re.fullmatch(r"[0-9]{1,6}", str(value)) else 1
    )
