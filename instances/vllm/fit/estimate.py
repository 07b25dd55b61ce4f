"""Does it fit? What an engine will take, against the room that there is. Pure: the same question, the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from . import objections
from .architecture import Facts, facts_of
from .kv_cache import KvCache, kv_cache_of, per_token_whole
from .room import Place, Room
from .settings import Settings
from .tensors import Tensors
from .weights import per_gpu, weights_of
from .words import amount, count, times
from .working import working_of

Verdict = Literal["fits", "tight", "no", "unknown"]
CLOSE = 1.15  # so many times what is needed counts as plenty
RAM_FULL = 0.9  # of what is free: beyond that the machine begins to swap
GPU_MARGIN = 0.02  # of a GPU


@dataclass(frozen=True)
class Model:
    """What is known of a model: its config.json, and its weights where somebody has looked at them."""

    config: Mapping[str, Any]
    tensors: Tensors | None = None
    origin: str = ""  # where that was read: "folder", "cache", "hub"


@dataclass(frozen=True)
class Correction:
    """What engines logged at earlier launches of the same model in the same form. Bytes of each GPU."""

    weights: int | None = None
    working: int | None = None


@dataclass(frozen=True)
class Load:
    """What the engine puts into one place, in bytes."""

    place: Place
    weights: int
    cache: int  # that it sets aside for the KV cache; below 0: so much is missing
    working: int
    budget: int  # its share of the place; 0 where it has none

    @property
    def taken(self) -> int:
        return self.weights + max(self.cache, 0) + self.working

    @property
    def left(self) -> int:
        return self.place.free - self.taken


@dataclass(frozen=True)
class Estimate:
    """The answer. Bytes of one rank where nothing else is said; None is not known."""

    verdict: Verdict
    objections: tuple[objections.Objection, ...] = ()
    facts: Facts | None = None
    weights: int | None = None
    weights_whole: int | None = None  # of all ranks together
    weights_known: bool = False  # measured or read, not derived from the shape
    parameters: int = 0
    kv: KvCache | None = None
    per_token: int | None = None  # of the whole model
    cache_need: int | None = None  # for one request of the context
    working: int | None = None
    context: int | None = None  # tokens, the one reckoned with
    asked_context: int | None = None
    loads: tuple[Load, ...] = ()
    largest: int | None = None  # tokens that fit
    tokens: int | None = None  # that the cache holds
    sequences: float | None = None  # of the full context, at once
    corrected: bool = False

    @property
    def need(self) -> int | None:
        """The least with which it starts, in each place."""
        if self.weights is None or self.working is None or self.cache_need is None:
            return None
        if self.loads and self.loads[0].budget == 0:
            return self.loads[0].taken
        return self.weights + self.working + self.cache_need

    @property
    def impossible(self) -> bool:
        """Also with nothing else on the machine."""
        return any(one.always for one in self.objections)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(one.text for one in self.objections)

    @property
    def summary(self) -> str:
        """What there is room for, in one sentence."""
        if self.facts is None or self.context is None or self.verdict in ("no", "unknown"):
            return ""
        if not self.facts.generates:
            return "It keeps no KV cache: memory does not grow with the length of texts."
        if self.tokens is None or not self.sequences:
            return ""
        full = "one full context" if int(self.sequences) == 1 else f"{times(self.sequences)} full contexts"
        return f"Room for {count(self.tokens)} tokens: {full} of {count(self.context)} at once."


def estimate(model: Model, settings: Settings, room: Room, correction: Correction | None = None) -> Estimate:
    correction = correction or Correction()
    facts = facts_of({**model.config, **settings.overrides})
    if facts is None:
        size = model.tensors.bytes if model.tensors else None
        return Estimate("unknown", (objections.SHAPELESS,), weights=size, weights_whole=size)
    places = room.chosen(settings)
    settings = replace(settings, device=min((place.total for place in places), default=None))
    context, limit = _context(facts, settings)
    weights = weights_of(facts, model.tensors, settings)
    own_weights = per_gpu(weights, facts, settings)
    working = working_of(facts, settings, context).bytes
    if correction.weights is not None:
        own_weights = correction.weights
    if correction.working is not None:
        working = correction.working
    kv = kv_cache_of(facts, settings)
    loads = tuple(_load(place, own_weights, weights.bytes, working, settings, kv) for place in places)
    cache = min((load.cache for load in loads), default=None)
    if settings.accelerator == "cpu" and cache is not None:
        cache //= settings.ranks
    if settings.fits_itself and cache is not None:
        context = kv.largest(cache, limit)
    found = objections.against(facts, settings, room, loads, kv, context, cache)
    largest = None if cache is None else kv.largest(cache, limit)
    return Estimate(
        verdict=_verdict(found, loads, kv, context, cache, weights.known or correction.weights is not None),
        objections=found,
        facts=facts,
        weights=own_weights,
        weights_whole=weights.bytes,
        weights_known=weights.known or correction.weights is not None,
        parameters=weights.parameters,
        kv=kv,
        per_token=per_token_whole(facts, settings),
        cache_need=kv.need(context),
        working=working,
        context=context,
        asked_context=settings.context,
        loads=loads,
        largest=largest,
        tokens=None if cache is None else kv.tokens(cache, context),
        sequences=None if cache is None else kv.sequences(cache, context),
        corrected=correction != Correction(),
    )


def _context(facts: Facts, settings: Settings) -> tuple[int, int]:
    """The context to reckon with, and the longest that the engine would take."""
    asked = settings.context
    if asked is None:
        return (facts.context if settings.fits_itself else facts.default_context), facts.context
    if settings.beyond_model:
        return asked, max(asked, facts.context)
    return min(asked, facts.context), facts.context


def _load(place: Place, weights: int, whole: int, working: int, settings: Settings, kv: KvCache) -> Load:
    if settings.accelerator == "cpu":
        weights = whole * settings.data_parallel
        if settings.cache_bytes is not None:
            cache = settings.cache_bytes * settings.ranks if kv.groups else 0
            return Load(place, weights, cache, working, 0)
    elif settings.cache_bytes is not None:
        return Load(place, weights, settings.cache_bytes if kv.groups else 0, working, 0)
    budget = int(place.total * settings.share)
    if not kv.groups:  # it takes what it needs, and no more
        return Load(place, weights, 0, working, budget)
    return Load(place, weights, budget - weights - working, working, budget)


def _verdict(
    found: tuple[objections.Objection, ...],
    loads: tuple[Load, ...],
    kv: KvCache,
    context: int,
    cache: int | None,
    known: bool,
) -> Verdict:
    if any(one.certain for one in found):
        return "no"
    if not loads or cache is None or found:
        return "unknown"
    return "tight" if _is_close(loads, kv, context, cache, known) else "fits"


def _is_close(loads: tuple[Load, ...], kv: KvCache, context: int, cache: int, known: bool) -> bool:
    """Whether an error of ours, or a little more use by others, would change the answer."""
    for load in loads:
        if load.budget:
            margin = max(load.budget - load.weights - load.working - kv.need(context), 0)
            doubt = load.working // 4 + (0 if known else load.weights // 20)
            if margin < doubt or load.place.free - load.budget < load.place.total * GPU_MARGIN:
                return True
        elif load.taken > load.place.free * RAM_FULL:
            return True
    return bool(kv.groups) and cache < kv.need(context) * CLOSE


def describe(load: Load) -> str:
    """One place in words, for those who do not see the bar."""
    parts = f"weights {amount(load.weights)}, KV cache {amount(max(load.cache, 0))}"
    rest = f"working memory {amount(load.working)}, others {amount(load.place.held)}"
    return (
        f"{load.place.label}: {parts}, {rest}, free {amount(max(load.left, 0))} of {amount(load.place.total)}"
    )
