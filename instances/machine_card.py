"""The page of the machine: memory and disks, and who holds memory on which GPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from monitoring.cards import GB, GIB, UNKNOWN, amount, size
from monitoring.host import HostReading
from monitoring.processes import described
from monitoring.sampler import Readings

from .cards import Card
from .models import Launch

Owners = Mapping[str, tuple[int, str]]  # by subject: the id and the name of the instance


@dataclass(frozen=True)
class Place:
    """Something that fills up."""

    slug: str
    what: str
    path: str
    used: str
    free: str
    total: str
    unit: str

    @property
    def used_id(self) -> str:
        return f"{self.slug}-used"

    @property
    def free_id(self) -> str:
        return f"{self.slug}-free"


@dataclass(frozen=True)
class Holder:
    described: str
    gpu: int
    instance: str
    instance_id: int
    memory: str


def places(host: HostReading) -> list[Place]:
    found = [_memory("memory", _("Memory"), host.memory_used, host.memory_total)]
    if host.swap_total:
        found.append(_memory("swap", _("Swap"), host.swap_used, host.swap_total))
    if host.disk_used is not None and host.disk_free is not None and host.disk_total is not None:
        found.append(
            _disk(
                "disk", _("Disk of the console's data"), "", host.disk_used, host.disk_free, host.disk_total
            )
        )
    for number, one in enumerate(host.model_disks):
        found.append(_disk(f"models-{number}", _("Disk of models"), one.path, one.used, one.free, one.total))
    return found


def _memory(slug: str, what: str, used: int, total: int) -> Place:
    return Place(slug, what, "", amount(used / GIB), amount((total - used) / GIB), size(total / GIB), "GiB")


def _disk(slug: str, what: str, path: str, used: int, free: int, total: int) -> Place:
    return Place(slug, what, path, amount(used / GB), amount(free / GB), size(total / GB), "GB")


def owners() -> Owners:
    """Of everything that lives here: one query."""
    live = Launch.objects.live().here().select_related("instance")
    return {f"launch:{one.pk}": (one.instance_id, one.instance.name) for one in live}


def owners_of(cards: Iterable[Card]) -> Owners:
    """The same, of what a page has at hand already."""
    return {
        f"launch:{card.launch.pk}": (card.instance.pk, card.instance.name)
        for card in cards
        if card.launch and not card.launch.ended
    }


def holders(readings: Readings, owners: Owners) -> list[Holder]:
    """Who has memory on which GPU, the largest first on each."""
    subjects = {
        pid: subject
        for subject, target in readings.targets.items()
        if target.usage
        for pid in target.usage.pids
    }
    found = []
    for gpu in readings.gpus.gpus if readings.gpus else ():
        for one in sorted(gpu.processes, key=lambda process: -(process.memory or 0)):
            instance_id, name = owners.get(subjects.get(one.pid, ""), (0, ""))
            memory = UNKNOWN if one.memory is None else f"{amount(one.memory / GIB)} GiB"
            found.append(Holder(described(one.pid), gpu.index, name, instance_id, memory))
    return found
