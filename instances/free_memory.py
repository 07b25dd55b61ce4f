"""The memory that an engine could take now: of each GPU or of the machine's RAM, with who holds what."""

from __future__ import annotations

from collections.abc import Mapping

from monitoring import latest
from monitoring.gpu import GpuReading, GpuReadings
from monitoring.host import HostReading
from monitoring.sampler import Readings

from . import gpu_owners
from .models import Instance, Launch
from .vllm.fit.room import Holder, Place, Room

SMALL = 64 * 2**20  # bytes: holders of less are counted with the others
RAM = "RAM"
OTHERS = "Everything else"


def room_of(accelerator: str, readings: Readings | None = None, *, leaving: Instance | None = None) -> Room:
    """`leaving`: an instance that would be stopped first; what it holds counts as free."""
    readings = readings or latest.readings()
    if accelerator == "cpu":
        return Room((ram_of(_host(readings), _instances(readings), leaving),))
    gpus = (readings and readings.gpus) or latest.gpus_now()
    if gpus is None:
        return Room(reason="The NVIDIA driver does not answer, so free memory is not known.")
    if not gpus.gpus:
        return Room(reason=gpus.reason or "This machine shows no GPU.")
    shares = any(gpu.memory_shared for gpu in gpus.gpus)
    return room_of_gpus(gpus, _host(readings) if shares else None, leaving)


def _host(readings: Readings | None) -> HostReading:
    return (readings and readings.host) or latest.host_now()


def room_of_gpus(gpus: GpuReadings, host: HostReading | None, leaving: Instance | None = None) -> Room:
    """A GPU that is lost, or does not say how much memory it has, is no place; why is told when none is left."""
    owned = gpu_owners.as_json(gpus)["gpus"]
    places, reasons = [], []
    for gpu, facts in zip(gpus.gpus, owned, strict=True):
        holders = [
            (one["instance"], one["described"], one["memory_bytes"] or 0) for one in facts["processes"]
        ]
        held = [Holder(instance or described, size) for instance, described, size in holders]
        back = sum(size for instance, _, size in holders if leaving and instance == leaving.name)
        if gpu.error:
            reasons.append(f"GPU {gpu.index}: {gpu.error}")
        elif gpu.memory_total and gpu.memory_used is not None:
            places.append(_gpu_place(gpu, held, back, leaving))
        elif gpu.memory_shared and host is not None:
            places.append(_shared_place(gpu, held, back, host, leaving))
        else:
            reasons.append(f"GPU {gpu.index} does not say how much memory it has.")
    return Room(tuple(places), " ".join(reasons))


def _gpu_place(gpu: GpuReading, held: list[Holder], back: int, leaving: Instance | None) -> Place:
    total, used = gpu.memory_total or 0, gpu.memory_used or 0
    free = min(max(total - used + back, 0), total)
    holders = _merged(held, total - free, leaving)
    return Place(f"GPU {gpu.index}", total, free, holders, gpu.index, gpu.uuid, gpu.name)


def _shared_place(
    gpu: GpuReading, held: list[Holder], back: int, host: HostReading, leaving: Instance | None
) -> Place:
    """It uses the machine's RAM, as GB10 and Jetson do: there the driver has no figure of its own."""
    total = host.memory_total
    free = min(max(total - host.memory_used + back, 0), total)
    holders = _merged(held, total - free, leaving)
    return Place(f"GPU {gpu.index}", total, free, holders, gpu.index, gpu.uuid, gpu.name, shared=True)


def ram_of(host: HostReading, instances: Mapping[str, int], leaving: Instance | None = None) -> Place:
    back = instances.get(leaving.name, 0) if leaving else 0
    free = min(max(host.memory_total - host.memory_used + back, 0), host.memory_total)
    held = [Holder(name, size) for name, size in instances.items()]
    return Place(RAM, host.memory_total, free, _merged(held, host.memory_total - free, leaving))


def _merged(held: list[Holder], used: int, leaving: Instance | None) -> tuple[Holder, ...]:
    """The largest first, each name once; what nobody named makes up the rest. Never more than is used."""
    sums: dict[str, int] = {}
    for holder in held:
        if holder.bytes >= SMALL and not (leaving and holder.who == leaving.name):
            sums[holder.who] = sums.get(holder.who, 0) + holder.bytes
    known = sum(sums.values())
    if known > used:  # pages that several share were counted more than once
        sums = {who: size * used // known for who, size in sums.items()}
    found = [Holder(who, size) for who, size in sorted(sums.items(), key=lambda one: -one[1])]
    rest = used - sum(holder.bytes for holder in found)
    return (*found, *([Holder(OTHERS, rest)] if rest >= SMALL or (rest > 0 and not found) else []))


def _instances(readings: Readings | None) -> dict[str, int]:
    """Bytes of RAM of every live instance here, where they were measured: one query."""
    if readings is None or not readings.targets:
        return {}
    found: dict[str, int] = {}
    for launch in Launch.objects.live().here().select_related("instance"):
        target = readings.targets.get(f"launch:{launch.pk}")
        if target is not None and target.usage is not None:
            found[launch.instance.name] = found.get(launch.instance.name, 0) + target.usage.memory
    return found
