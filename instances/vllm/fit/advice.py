"""One change with which it fits, as keys of the configuration, and its price in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .estimate import Correction, Estimate, Model, estimate
from .kv_cache import SMALL
from .quantization import ON_THE_FLY
from .room import Room
from .settings import GIB, Settings
from .values import up
from .words import amount, count

WORTH = 2048  # tokens: a shorter context is worth advising only when nothing else helps
LEAST_SHARE, MOST_SHARE = 0.05, 0.95
STEPS = (2, 4, 8, 16)


@dataclass(frozen=True)
class Advice:
    change: Mapping[str, Any]
    text: str  # what to do
    price: str  # what it costs


def advise(
    model: Model, settings: Settings, room: Room, correction: Correction, found: Estimate
) -> Advice | None:
    """None when it fits, or when no single change helps."""
    if found.verdict not in ("no", "tight") or found.facts is None:
        return None
    if any(one.code == "context-beyond-model" for one in found.objections):
        return _within_the_model(model, settings, room, correction, found)
    if found.verdict == "tight" and (found.largest or 0) >= (found.context or 0) and not _is_short(found):
        return None
    for changed, advice in _choices(settings, room, found):
        kept = correction if _is_same(settings, changed) else Correction()
        after = estimate(model, changed, room, kept)
        if after.verdict == "fits" or (after.verdict == "tight" and found.verdict == "no"):
            return advice
    return None


def _within_the_model(
    model: Model, settings: Settings, room: Room, correction: Correction, found: Estimate
) -> Advice | None:
    """First the context that the model knows; and what is needed beside it, if it is not enough."""
    assert found.facts is not None
    changed, advice = _context(settings, found.facts.context)
    after = estimate(model, changed, room, correction)
    if after.verdict in ("fits", "tight"):
        return advice
    more = advise(model, changed, room, correction, after)
    if more is None or "max_model_len" in more.change:
        return more
    return Advice(
        {**advice.change, **more.change}, f"{advice.text} {more.text}", f"{advice.price} {more.price}"
    )


def _is_short(found: Estimate) -> bool:
    """So little cache beyond one request that a shorter context is worth a word."""
    return (found.sequences or 2.0) < 1.15


def _is_same(before: Settings, after: Settings) -> bool:
    """Whether what was measured still holds."""
    return (before.tensor_parallel, before.quantization) == (after.tensor_parallel, after.quantization)


def _choices(settings: Settings, room: Room, found: Estimate) -> Iterator[tuple[Settings, Advice]]:
    codes = {one.code for one in found.objections}
    if codes & {"heads", "too-few-gpus", "too-few-chosen"}:
        yield from _ranks(settings, room, found, most=settings.tensor_parallel)
    if "held-by-others" in codes:
        yield from _share(settings, found)
    long_enough = max(WORTH, (found.context or 0) // 4)
    if (found.largest or 0) >= long_enough:
        yield _context(settings, _round(found.largest or 0))
    if settings.accelerator == "cpu":
        yield from _ram_cache(settings, found)
    else:
        yield from _more_gpus(settings, room, found)
        yield from _smaller(settings, found)
    if WORTH > (found.largest or 0) >= 256 or long_enough > (found.largest or 0) >= WORTH:
        yield _context(settings, _round(found.largest or 0))


def _round(tokens: int) -> int:
    """A little below what fits: whole thousands (of 1,024) where there are several."""
    return tokens // 1024 * 1024 if tokens >= 4096 else tokens // 64 * 64 or tokens


def _context(settings: Settings, tokens: int) -> tuple[Settings, Advice]:
    tokens = max(tokens, 1)
    advice = Advice(
        {"max_model_len": tokens},
        f"Set the context length to {count(tokens)}.",
        f"A conversation ends at {count(tokens)} tokens.",
    )
    return replace(settings, context=tokens, fits_itself=False), advice


def _ranks(settings: Settings, room: Room, found: Estimate, most: int) -> Iterator[tuple[Settings, Advice]]:
    """Fewer GPUs, so many that the heads can be split and that are there."""
    assert found.facts is not None
    here = len(settings.gpus) or len(room.places)
    for ranks in range(min(most, here, 64), 0, -1):
        if found.facts.heads % ranks == 0 and ranks != settings.tensor_parallel:
            text = "Use one GPU." if ranks == 1 else f"Use {ranks} GPUs."
            advice = Advice({"tensor_parallel_size": ranks}, text, "The model is split over fewer GPUs.")
            yield replace(settings, tensor_parallel=ranks), advice


def _share(settings: Settings, found: Estimate) -> Iterator[tuple[Settings, Advice]]:
    """What is free now, rounded down."""
    share = min((load.place.free / load.place.total for load in found.loads if load.place.total), default=0.0)
    share = int(share * 100 - 2) / 100
    if LEAST_SHARE < share < settings.share:
        advice = Advice(
            {"gpu_memory_utilization": share},
            f"Take a share of {share:.0%}.",
            "Fewer requests fit at once.",
        )
        yield replace(settings, share=share), advice


def _ram_cache(settings: Settings, found: Estimate) -> Iterator[tuple[Settings, Advice]]:
    """On a CPU the cache has a size of its own: as large as one request needs, and half as much again."""
    need = found.cache_need or 0
    whole = max(up(need * 3 // 2, GIB // 4), 1)
    size = f"{whole // 4}G" if whole % 4 == 0 else f"{whole * 256}M"
    taken = whole * (GIB // 4)
    if settings.cache_bytes is None or taken == settings.cache_bytes:
        return
    price = (
        f"The KV cache takes {amount(taken)} of RAM instead of {amount(settings.cache_bytes)}."
        if taken > settings.cache_bytes
        else "Fewer requests fit at once."
    )
    advice = Advice({"args": {"kv-cache-memory-bytes": size}}, f"Set kv-cache-memory-bytes to {size}.", price)
    yield replace(settings, cache_bytes=taken), advice


def _more_gpus(settings: Settings, room: Room, found: Estimate) -> Iterator[tuple[Settings, Advice]]:
    assert found.facts is not None
    for ranks in STEPS:
        enough = ranks * settings.pipeline_parallel * settings.data_parallel <= len(room.places)
        if ranks > settings.tensor_parallel and enough and found.facts.heads % ranks == 0:
            advice = Advice(
                {"tensor_parallel_size": ranks, "gpus": None}
                if settings.gpus
                else {"tensor_parallel_size": ranks},
                f"Use {ranks} GPUs.",
                f"It takes its share of {ranks} GPUs instead of {settings.tensor_parallel}.",
            )
            yield replace(settings, tensor_parallel=ranks, gpus=()), advice


def _smaller(settings: Settings, found: Estimate) -> Iterator[tuple[Settings, Advice]]:
    assert found.facts is not None
    if found.facts.generates and settings.cache_dtype not in SMALL and not _has_small_cache(found):
        advice = Advice(
            {"args": {"kv-cache-dtype": "fp8"}},
            "Keep the KV cache in fp8.",
            "Twice the context in the same memory; answers may be a little less exact.",
        )
        yield replace(settings, cache_dtype="fp8"), advice
    if settings.share < MOST_SHARE and settings.cache_bytes is None:
        advice = Advice(
            {"gpu_memory_utilization": MOST_SHARE},
            f"Take a share of {MOST_SHARE:.0%}.",
            "Little is left on that GPU for anything else.",
        )
        yield replace(settings, share=MOST_SHARE), advice
    if found.facts.quantization is None and settings.quantization not in ON_THE_FLY:
        advice = Advice(
            {"quantization": "fp8"},
            "Load the weights in fp8.",
            "Half the memory for weights; answers may be a little less exact.",
        )
        yield replace(settings, quantization="fp8"), advice
    if not settings.eager:
        advice = Advice(
            {"args": {"enforce-eager": True}},
            "Use eager mode, without CUDA graphs.",
            "Answers come more slowly.",
        )
        yield replace(settings, eager=True), advice


def _has_small_cache(found: Estimate) -> bool:
    assert found.facts is not None
    return bool(found.facts.quantization and found.facts.quantization.cache)
