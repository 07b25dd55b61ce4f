"""The answer to "does it fit?" as a page draws it and the API gives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from .vllm.fit.advice import Advice
from .vllm.fit.estimate import Estimate, Load, describe
from .vllm.fit.room import Place, Room
from .vllm.fit.words import amount

WIDTH = 4800  # of a bar's picture, in its own units


@dataclass(frozen=True)
class Segment:
    """A stretch of a bar."""

    kind: str  # k1 weights, k2 KV cache, k3 working memory, k4 others
    label: str
    bytes: int
    x: int
    width: int

    @property
    def amount(self) -> str:
        return amount(self.bytes)


@dataclass(frozen=True)
class Bar:
    """One place as a picture: what would be in it."""

    place: Place
    segments: tuple[Segment, ...]
    mark: int | None  # where the engine's share ends
    chosen: bool
    described: str
    over: int  # bytes beyond the place

    @property
    def over_amount(self) -> str:
        return amount(self.over)

    @property
    def used(self) -> str:
        """Without its unit where the whole has the same."""
        text = amount(sum(segment.bytes for segment in self.segments))
        number, _space, unit = text.partition(" ")
        return number if self.total.endswith(f" {unit}") else text

    @property
    def total(self) -> str:
        return amount(self.place.total)

    @property
    def free(self) -> str:
        return amount(max(self.place.total - sum(segment.bytes for segment in self.segments), 0))


@dataclass(frozen=True)
class Fit:
    """The answer for a page and for the API."""

    estimate: Estimate
    room: Room
    advice: Advice | None
    why: str = ""  # why nothing is known of the model
    leaving: str = ""  # the instance that would be stopped first

    @property
    def verdict(self) -> str:
        return self.estimate.verdict

    @property
    def title(self) -> str:
        """The verdict in a few words, for the badge."""
        loads = self.estimate.loads
        place = loads[0].place.label if len(loads) == 1 else f"{len(loads)} GPUs"
        if self.verdict in ("fits", "tight") and loads and loads[0].place.index is not None:
            pattern = _("Fits on %(place)s") if self.verdict == "fits" else _("Just fits on %(place)s")
            return pattern % {"place": place}
        return {
            "fits": _("Fits into memory"),
            "tight": _("Just fits"),
            "no": _("Does not fit"),
            "unknown": _("Not known"),
        }[self.verdict]

    @property
    def state(self) -> str:
        """The badge's state, of the design's."""
        return {"fits": "ok", "tight": "warn", "no": "error", "unknown": "idle"}[self.verdict]

    @property
    def reasons(self) -> tuple[str, ...]:
        return (self.why,) if self.why else self.estimate.reasons

    @property
    def used_context(self) -> int | None:
        """The context that was reckoned with, when it is another one than was typed."""
        asked, context = self.estimate.asked_context, self.estimate.context
        return context if asked is not None and context is not None and asked != context else None

    @property
    def offered_context(self) -> int | None:
        """The largest context that fits, when it is worth offering."""
        found = self.estimate
        if not found.largest or found.facts is None or not found.facts.generates:
            return None
        return found.largest if found.largest != found.context else None

    @property
    def advises_context(self) -> bool:
        return self.advice is not None and "max_model_len" in self.advice.change

    @property
    def chosen_bars(self) -> list[Bar]:
        return [bar for bar in self.bars if bar.chosen]

    @property
    def other_bars(self) -> list[Bar]:
        return [bar for bar in self.bars if not bar.chosen]

    @property
    def used_context_shown(self) -> str:
        return f"{self.used_context or 0:,}"

    @property
    def offered_context_shown(self) -> str:
        return f"{self.offered_context or 0:,}"

    @property
    def offered_change(self) -> str:
        return json.dumps({"max_model_len": self.offered_context})

    @property
    def advice_change(self) -> str:
        return json.dumps(dict(self.advice.change)) if self.advice else ""

    @property
    def remarks(self) -> list[str]:
        """What the numbers rest on."""
        found, remarks = self.estimate, []
        if found.corrected:
            remarks.append(_("Corrected by what earlier launches of this model took."))
        elif found.facts is not None and not found.weights_known:
            remarks.append(_("The weights were reckoned from the model's shape; the files were not seen."))
        if self.leaving:
            words = {"name": self.leaving}
            remarks.append(_("Reckoned as if what %(name)s holds now were free.") % words)
        return remarks

    @property
    def bars(self) -> list[Bar]:
        loads = {id(load.place): load for load in self.estimate.loads}
        bars = [bar_of(place, loads.get(id(place))) for place in self.room.places]
        return sorted(bars, key=lambda bar: not bar.chosen)

    def as_json(self) -> dict[str, Any]:
        found = self.estimate
        return {
            "verdict": found.verdict,
            "reasons": list(self.reasons),
            "summary": found.summary,
            "parameters": found.parameters or None,
            "weights_bytes": found.weights_whole,
            "weights_bytes_per_gpu": found.weights,
            "weights_known": found.weights_known,
            "kv_bytes_per_token": found.per_token,
            "kv_bytes_per_token_per_gpu": found.kv.per_token if found.kv else None,
            "kv_bytes_per_token_beyond_window": found.kv.per_token_long if found.kv else None,
            "kv_bytes_needed": found.cache_need,
            "working_bytes": found.working,
            "need_bytes": found.need,
            "context": found.context,
            "largest_context": found.largest,
            "cache_tokens": found.tokens,
            "sequences": round(found.sequences, 2) if found.sequences is not None else None,
            "corrected": found.corrected,
            "places": [_place_json(bar, found) for bar in self.bars],
            "recommendation": self.advice
            and {"change": dict(self.advice.change), "text": self.advice.text, "price": self.advice.price},
        }


def bar_of(place: Place, load: Load | None) -> Bar:
    parts = [("k1", _("Weights"), load.weights), ("k2", _("KV cache"), max(load.cache, 0))] if load else []
    parts += [("k3", _("Working memory"), load.working)] if load else []
    parts += [("k4", holder.who, holder.bytes) for holder in place.holders]
    whole = max(place.total, sum(size for _kind, _label, size in parts), 1)
    segments, x = [], 0
    for kind, label, size in parts:
        width = round(size * WIDTH / whole)
        if size > 0:
            segments.append(Segment(kind, label, size, x, max(min(width, WIDTH - x), 0)))
            x += width
    over = max(sum(size for _kind, _label, size in parts) - place.total, 0)
    mark = round(load.budget * WIDTH / whole) if load and load.budget else None
    if over:
        mark = round(place.total * WIDTH / whole)
    words = describe(load) if load else f"{place.label}: {amount(place.held)} of {amount(place.total)}"
    return Bar(place, tuple(segments), mark, load is not None, words, over)


def _place_json(bar: Bar, found: Estimate) -> dict[str, Any]:
    place = bar.place
    load = next((one for one in found.loads if one.place is place), None)
    return {
        "label": place.label,
        "gpu": place.index,
        "uuid": place.uuid or None,
        "name": place.name or None,
        "shared_with_system": place.shared,
        "chosen": load is not None,
        "total_bytes": place.total,
        "free_bytes": place.free,
        "holders": [{"who": holder.who, "bytes": holder.bytes} for holder in place.holders],
        "need_bytes": load and (load.taken if not load.budget else max(load.budget, load.taken)),
        "weights_bytes": load and load.weights,
        "cache_bytes": load and max(load.cache, 0),
        "working_bytes": load and load.working,
    }
