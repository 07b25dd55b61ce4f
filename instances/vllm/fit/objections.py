"""What speaks against a start, each as one sentence with the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .architecture import Facts
from .kv_cache import KvCache
from .room import Room
from .settings import Settings
from .words import amount, count

if TYPE_CHECKING:
    from .estimate import Load


@dataclass(frozen=True)
class Objection:
    code: str
    text: str
    always: bool = True  # also when nothing else is on the machine
    certain: bool = True  # False: only that it cannot be known


SHAPELESS = Objection(
    "shape", "The shape of this model cannot be told from its config.json.", always=False, certain=False
)


def against(
    facts: Facts,
    settings: Settings,
    room: Room,
    loads: tuple[Load, ...],
    kv: KvCache,
    context: int,
    cache: int | None,
) -> tuple[Objection, ...]:
    """All of them, the first thing to mend first."""
    found = [*_of_the_model(facts, settings), *_of_the_ranks(settings, room, loads)]
    if not loads:
        return (*found, *([] if found else [_no_room(room)]))
    worst = min(loads, key=lambda load: load.left)
    if settings.accelerator == "cpu":
        found += _of_ram(worst)
    else:
        found += _of_gpu(worst, settings)
    return (*found, *_of_the_cache(worst, kv, context, cache))


def _of_the_model(facts: Facts, settings: Settings) -> list[Objection]:
    found = []
    if settings.context is not None and settings.context > facts.context and not settings.beyond_model:
        text = f"This model knows {count(facts.context)} tokens at most, {count(settings.context)} were asked for."
        found.append(Objection("context-beyond-model", text))
    if facts.heads % settings.tensor_parallel:
        text = (
            f"Its {count(facts.heads)} attention heads cannot be split evenly "
            f"over {count(settings.tensor_parallel)} GPUs; vLLM refuses that."
        )
        found.append(Objection("heads", text))
    if settings.pipeline_parallel > facts.layers:
        text = f"Its {facts.layers} layers cannot be split into {settings.pipeline_parallel} stages."
        found.append(Objection("layers", text))
    return found


def _of_the_ranks(settings: Settings, room: Room, loads: tuple[Load, ...]) -> list[Objection]:
    if settings.accelerator == "cpu" or not room.places or len(loads) >= settings.ranks:
        return []
    here, ranks = len(room.places), settings.ranks
    if ranks > here:
        there = "one GPU is" if here == 1 else f"{here} GPUs are"
        return [Objection("too-few-gpus", f"It is to use {ranks} GPUs, and {there} here.")]
    if len(settings.gpus) > len(loads):
        return [Objection("gpu-gone", f"A GPU was chosen that is not here: there are {_names(room)}.")]
    text = f"It is to use {ranks} GPUs, and {len(loads)} chosen."
    return [Objection("too-few-chosen", text.replace("1 chosen", "one is chosen"))]


def _names(room: Room) -> str:
    return ", ".join(place.label for place in room.places)


def _no_room(room: Room) -> Objection:
    return Objection("room", room.reason or "How much memory is free is not known.", False, certain=False)


def _of_ram(load: Load) -> list[Objection]:
    place = load.place
    if load.budget > place.free or load.taken > place.free:
        need = max(load.budget, load.taken)
        text = f"It needs {amount(need)} of RAM, {amount(place.free)} of {amount(place.total)} are free."
        return [Objection("ram", text, always=need > place.total)]
    return []


def _of_gpu(load: Load, settings: Settings) -> list[Objection]:
    place = load.place
    memory = f"the RAM that {place.label} shares" if place.shared else place.label
    if load.weights + load.working > place.total:
        text = (
            f"Weights ({amount(load.weights)}) and working memory ({amount(load.working)}) "
            f"are more than the {amount(place.total)} of {memory}."
        )
        return [Objection("weights", text)]
    if load.budget > place.free:
        text = (
            f"Others hold {amount(place.held)} of the {amount(place.total)} of {memory}, "
            f"so a share of {settings.share:.0%} cannot be taken."
        )
        return [Objection("held-by-others", text, always=False)]
    if load.budget == 0 and load.taken > place.free:
        text = f"It needs {amount(load.taken)} of {memory}, {amount(place.free)} are free."
        return [Objection("memory", text, always=load.taken > place.total)]
    if load.budget and load.weights + load.working >= load.budget:
        text = (
            f"Weights ({amount(load.weights)}) and working memory ({amount(load.working)}) leave nothing "
            f"for the KV cache of its share, {amount(load.budget)} of {memory}."
        )
        return [Objection("no-room-for-cache", text)]
    return []


def _of_the_cache(load: Load, kv: KvCache, context: int, cache: int | None) -> list[Objection]:
    need = kv.need(context)
    if cache is None or cache <= 0 or need <= cache:
        return []
    text = (
        f"A context of {count(context)} tokens needs {amount(need)} of KV cache, {amount(cache)} are there."
    )
    return [Objection("context-too-long", text)]
