"""The presets as the deploy form offers them: by the GPU that they were made for, this machine's first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from . import presence
from .models import Preset
from .vllm.fit.room import Room
from .vllm.fit.words import amount

SIZES = (0, 8, 12, 24, 48, 80)  # GB of one GPU; 0: none
GB = 10**9
ROUNDING = 1.1  # a card of 24 GB says 23.7 or 25.8 of them, by what a GB is


@dataclass(frozen=True)
class Size:
    """One segment above the presets."""

    gb: int
    is_shown: bool

    @property
    def label(self) -> str:
        return _("%(gb)s GB") % {"gb": self.gb} if self.gb else _("CPU")


@dataclass(frozen=True)
class Offer:
    preset: Preset
    is_here: bool

    @property
    def place(self) -> str:
        """`16 GB · on this disk`, `141 GB · 4 GPUs · to download`."""
        parts = [self.preset.size]
        if self.preset.gpus > 1:
            parts.append(_("%(n)s GPUs") % {"n": self.preset.gpus})
        parts.append(_("on this disk") if self.is_here else _("to download"))
        return " · ".join(filter(None, parts))


@dataclass(frozen=True)
class Offers:
    sizes: list[Size]
    offers: list[Offer]


def size_of(preset: Preset) -> int:
    """The segment that it stands in."""
    return next((size for size in SIZES if preset.gpu_memory <= size), SIZES[-1])


def size_of_machine(room: Room | None) -> int:
    """Of its largest GPU; 0 where engines run on the CPU."""
    gpus = [place.total for place in room.places if place.index is not None] if room else []
    if not gpus:
        return 0
    fitting = [size for size in SIZES if size and size * GB <= max(gpus) * ROUNDING]
    return max(fitting, default=SIZES[1])


def offers_of(presets: Iterable[Preset], size: int) -> Offers:
    presets = list(presets)
    sizes = sorted({size_of(preset) for preset in presets} | {size})
    found = [Offer(one, presence.is_here(one.configuration)) for one in presets if size_of(one) == size]
    return Offers([Size(gb, gb == size) for gb in sizes], found)


@dataclass(frozen=True)
class GpuBox:
    """One GPU that may be ticked."""

    index: int
    label: str
    free: str
    is_chosen: bool


def gpu_boxes(room: Room | None, chosen: str) -> list[GpuBox]:
    """Of the GPUs that this machine shows; none where engines run on the CPU, or where names cannot be boxes."""
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    places = [place for place in room.places if place.index is not None] if room else []
    if not {str(place.index) for place in places}.issuperset(names):
        return []
    return [
        GpuBox(
            place.index or 0,
            place.label,
            _("%(amount)s free") % {"amount": amount(place.free)},
            str(place.index) in names,
        )
        for place in places
    ]
