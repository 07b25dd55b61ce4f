"""The memory that there is: one place for each GPU, or one for the machine's RAM; and who holds what of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .settings import Settings


@dataclass(frozen=True)
class Holder:
    who: str  # an instance's name, or what a process is
    bytes: int


@dataclass(frozen=True)
class Place:
    """Bytes. `free` is what can be taken now."""

    label: str  # "GPU 0", "RAM"
    total: int
    free: int
    holders: tuple[Holder, ...] = ()
    index: int | None = None  # of a GPU
    uuid: str = ""
    name: str = ""
    shared: bool = False  # RAM that GPU and processor share

    @property
    def held(self) -> int:
        return max(self.total - self.free, 0)


@dataclass(frozen=True)
class Room:
    """All places of the machine; without one, `reason` says why."""

    places: tuple[Place, ...] = ()
    reason: str = ""

    def chosen(self, settings: Settings) -> tuple[Place, ...]:
        """Those that an engine takes: RAM, or as many GPUs as it has ranks, of the chosen ones the first."""
        if settings.accelerator == "cpu":
            return self.places[:1]
        found: Sequence[Place] = self.places
        if settings.gpus:
            named = [_named(self.places, gpu) for gpu in settings.gpus]
            found = [place for place in named if place is not None]
        return tuple(found[: settings.ranks])


def _named(places: Sequence[Place], gpu: str) -> Place | None:
    return next(
        (one for one in places if str(one.index) == gpu or (one.uuid and one.uuid.startswith(gpu))), None
    )
