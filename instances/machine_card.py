"""The page of the machine: memory and disks, and who holds memory on which GPU."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from monitoring.cards import GB, GIB, UNKNOWN, amount, size
from monitoring.gpu import GpuReadings
from monitoring.host import HostReading

from . import gpu_owners


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


def holders(gpus: GpuReadings) -> list[Holder]:
    """The largest first on each GPU. One query where there is a GPU."""
    found = [
        Holder(
            described=one["described"],
            gpu=gpu["index"],
            instance=one["instance"] or "",
            instance_id=one["instance_id"] or 0,
            memory=UNKNOWN if one["memory_bytes"] is None else f"{amount(one['memory_bytes'] / GIB)} GiB",
        )
        for gpu in gpu_owners.as_json(gpus)["gpus"]
        for one in sorted(gpu["processes"], key=lambda one: -(one["memory_bytes"] or 0))
    ]
    return found
