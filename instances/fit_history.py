"""Estimates beside what engines logged: to correct the next one, and to tell how good the last one was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from .models import Launch
from .vllm.fit import measured
from .vllm.fit.estimate import Correction, Estimate
from .vllm.fit.words import amount

LOOKED_AT = 50  # earlier launches of the same model
WORTH = 64 * 2**20  # bytes: less is told too coarsely to correct anything

WEIGHTS_FIELDS = ("model", "dtype", "quantization", "tensor_parallel_size")
WEIGHTS_FLAGS = ("pipeline-parallel-size", "cpu-offload-gb", "hf-overrides", "speculative-config", "revision")
WORKING_FIELDS = (*WEIGHTS_FIELDS, "max_model_len")
WORKING_FLAGS = (*WEIGHTS_FLAGS, "max-num-batched-tokens", "max-num-seqs", "enforce-eager", "kv-cache-dtype")


def recorded(found: Estimate) -> dict[str, Any] | None:
    """What of an estimate a launch keeps."""
    if found.weights is None or found.kv is None:
        return None
    load = found.loads[0] if found.loads else None
    return {
        "weights": found.weights,
        "cache": max(load.cache, 0) if load else None,
        "tokens": found.tokens,
        "working": found.working,
        "budget": load.budget if load else None,
        "per_token": found.per_token,
        "context": found.context,
        "verdict": found.verdict,
        "corrected": found.corrected,
    }


def correction_of(config: Mapping[str, Any], accelerator: str) -> Correction:
    """From the newest launches of the same model in the same form. A CPU's log says too little: one query else."""
    if accelerator == "cpu":
        return Correction()
    model = config.get("model")
    rows = Launch.objects.here().filter(
        measured__isnull=False, revision__config__model=model, accelerator=accelerator
    )
    weights = working = None
    for before, told, expected in rows.order_by("-pk").values_list(
        "revision__config", "measured", "estimate"
    )[:LOOKED_AT]:
        if not isinstance(told, dict) or _form(before, WEIGHTS_FIELDS, WEIGHTS_FLAGS) != _form(
            config, WEIGHTS_FIELDS, WEIGHTS_FLAGS
        ):
            continue
        weights = weights or _enough(told.get("weights"))
        if _form(before, WORKING_FIELDS, WORKING_FLAGS) == _form(config, WORKING_FIELDS, WORKING_FLAGS):
            working = working or _working(told, expected)
    return Correction(weights, working)


def _working(told: Mapping[str, Any], expected: object) -> int | None:
    """What the engine kept beside weights and cache: the rest of its share."""
    budget = expected.get("budget") if isinstance(expected, dict) else None
    weights, cache = told.get("weights"), told.get("cache")
    if not budget or not isinstance(weights, int) or not isinstance(cache, int):
        return None
    return _enough(budget - weights - cache)


def _enough(size: object) -> int | None:
    return size if isinstance(size, int) and size >= WORTH else None


def _form(config: Mapping[str, Any], fields: tuple[str, ...], flags: tuple[str, ...]) -> tuple[str, ...]:
    args = config.get("args") or {}
    return tuple(str(config.get(name)) for name in fields) + tuple(str(args.get(name)) for name in flags)


@dataclass(frozen=True)
class Compared:
    """One line of a launch's page: estimated and measured, and by how much the estimate was off."""

    what: str
    estimated: str
    measured: str
    off: str


def compared(launch: Launch) -> list[Compared]:
    """Empty where nothing was estimated, or nothing measured."""
    expected, told = launch.estimate, launch.measured
    if not isinstance(expected, dict) or not isinstance(told, dict):
        return []
    found = []
    weights = told.get("weights") or _enough(told.get("checkpoint"))
    for what, estimated, seen, write in (
        (_("Weights"), expected.get("weights"), weights, amount),
        (_("KV cache"), expected.get("tokens"), told.get("tokens"), _tokens),
    ):
        off = measured.error(estimated, seen)
        if off is not None and estimated is not None and seen is not None:
            found.append(Compared(what, write(estimated), write(seen), _off(off)))
    return found


def _tokens(count: float) -> str:
    return _("%(count)s tokens") % {"count": f"{int(count):,}"}


def _off(off: float) -> str:
    percent = abs(off) * 100
    if percent < 0.05:
        return _("exact")
    return _("%(percent)s %% off") % {"percent": f"{percent:.1f}" if percent < 10 else f"{percent:.0f}"}
