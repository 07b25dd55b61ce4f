"""The row of system cards, ready to be drawn: numbers as text, levels as words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psutil
from django.utils.translation import gettext

from monitoring.gpu import GpuReading, GpuReadings
from monitoring.host import HostReading, share
from monitoring.processes import described
from monitoring.sampler import Readings

GIB = 2**30
MIB = 2**20
GB = 10**9

STALE = 5  # seconds without a new reading before a page says so
FILLING = 85  # percent of memory or disk
NEARLY_FULL = 95

UNKNOWN = "–"


@dataclass(frozen=True)
class Meter:
    """A number with its bar. `percent` is "" when it is not known, and then there is no bar to fill."""

    value: str
    percent: str
    level: str = ""  # "warn", "bad", or ""

    @property
    def word(self) -> str:
        """The level in words, because colour alone says nothing to some."""
        return {"warn": gettext("Filling up"), "bad": gettext("Nearly full")}.get(self.level, "")


@dataclass(frozen=True)
class SliceRow:
    """A part of a GPU in MIG mode."""

    id: str
    name: str
    used: str
    total: str


@dataclass(frozen=True)
class GpuCard:
    index: int
    name: str
    memory: Meter
    memory_total: str  # "" when not known
    memory_shared: bool
    busy: Meter
    temperature: str
    power: str
    throttled: str
    throttle_bad: bool
    slices: list[SliceRow]
    error: str
    lost_at: datetime | None
    hidden: str  # why it cannot be told who uses it
    users: list[
        str
    ]  # "tiny, 3.0 GiB": those of the targets that are on it, by the names that were handed over
    strangers: list[str]  # "python3 (process 123 of mia), 1.0 GiB": whom none of the targets owns

    @property
    def memory_id(self) -> str:
        return f"gpu-{self.index}-memory"

    @property
    def busy_id(self) -> str:
        return f"gpu-{self.index}-busy"

    @property
    def memory_value_id(self) -> str:
        return f"gpu-{self.index}-memory-value"

    @property
    def busy_value_id(self) -> str:
        return f"gpu-{self.index}-busy-value"

    @property
    def temperature_id(self) -> str:
        return f"gpu-{self.index}-temperature"

    @property
    def power_id(self) -> str:
        return f"gpu-{self.index}-power"


@dataclass(frozen=True)
class SystemCards:
    """What `monitoring/_system.html` draws. What is not known is a dash; no card is ever missing."""

    cpu: Meter
    threads: int
    load: str
    memory: Meter
    memory_total: str
    console: str
    disk: Meter
    disk_total: str
    gpus: list[GpuCard]
    gpu_title: str  # of the card that stands in for the GPUs when the list is empty
    gpu_reason: str  # and its sentence
    gpu_absent: bool  # there is none, and that is all right
    gpu_trouble: bool  # there should be one
    swap: str  # "1.2 of 4 GiB" where some of it is in use
    at: datetime | None  # when all this was measured
    gpu_at: datetime | None
    silent: bool  # nobody measures
    stale: str  # "14 s" when the numbers are that old
    gpu_stale: str  # the same for the GPUs alone: a driver can hang while the rest goes on

    @classmethod
    def of(
        cls,
        readings: Readings | None,
        now: datetime,
        *,
        names: Mapping[str, str] | None = None,
        silent: bool = False,
    ) -> "SystemCards":
        """`names` are those of the targets, by subject."""
        host = readings.host if readings else None
        gpus = readings.gpus if readings else None
        stale = _age(readings.at, now) if readings else ""
        return cls(
            cpu=Meter(_percent(host.cpu_percent if host else None), _bar(host.cpu_percent if host else None)),
            threads=host.threads if host else 0,
            load="" if host is None or host.load is None else amount(host.load),
            memory=_memory(host),
            memory_total=size(host.memory_total / GIB) if host else "",
            console=amount(host.console_rss / MIB) if host else "",
            disk=_disk(host),
            disk_total=size(host.disk_total / GB) if host and host.disk_total else "",
            gpus=[_gpu(gpu, host, _owned(readings), names or {}) for gpu in gpus.gpus] if gpus else [],
            gpu_title=_gpu_title(gpus),
            gpu_reason=gettext(gpus.reason) if gpus and gpus.reason else gettext("No reading yet."),
            gpu_absent=gpus is not None and gpus.absent,
            gpu_trouble=gpus is not None and not gpus.gpus and not gpus.absent,
            swap=_swap(host),
            at=readings.at if readings else None,
            gpu_at=gpus.at if gpus else None,
            silent=silent,
            stale=stale,
            gpu_stale="" if stale else _gpu_age(gpus, now),
        )


def amount(number: float) -> str:
    """One decimal below 100, whole with thousands separated from there on."""
    return f"{number:,.1f}" if round(abs(number), 1) < 100 else f"{number:,.0f}"


def size(number: float) -> str:
    """As `amount`, without a decimal that is zero: for what does not move."""
    return amount(number).removesuffix(".0")


def duration(seconds: int) -> str:
    """In the largest two units: `14 s`, `2 min 5 s`, `2 h 14 min`."""
    minutes, rest = divmod(seconds, 60)
    hours, over = divmod(minutes, 60)
    if hours:
        return gettext("%(hours)s h %(minutes)s min") % {"hours": f"{hours:,}", "minutes": over}
    if minutes:
        return gettext("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": rest}
    return gettext("%(seconds)s s") % {"seconds": seconds}


def _age(at: datetime, now: datetime) -> str:
    seconds = int((now - at).total_seconds())
    return duration(seconds) if seconds >= STALE else ""


def _gpu_age(gpus: GpuReadings | None, now: datetime) -> str:
    return _age(gpus.at, now) if gpus and gpus.gpus else ""


def _gpu_title(gpus: GpuReadings | None) -> str:
    if gpus is None:
        return gettext("GPU")
    return gettext("No GPU") if gpus.absent else gettext("GPU out of reach")


def _memory(host: HostReading | None) -> Meter:
    if host is None:
        return Meter(UNKNOWN, "")
    percent = host.memory_percent
    return Meter(amount(host.memory_used / GIB), _bar(percent), _level(percent))


def _swap(host: HostReading | None) -> str:
    if host is None or host.swap_used < 64 * MIB:
        return ""
    return gettext("%(used)s of %(total)s GiB") % {
        "used": amount(host.swap_used / GIB),
        "total": size(host.swap_total / GIB),
    }


def _disk(host: HostReading | None) -> Meter:
    if host is None or host.disk_free is None:
        return Meter(UNKNOWN, "")
    return Meter(amount(host.disk_free / GB), _bar(host.disk_percent), _level(host.disk_percent))


def _owned(readings: Readings | None) -> dict[int, str]:
    """The subject of each process of a target, by pid."""
    targets = readings.targets if readings else {}
    return {pid: subject for subject, target in targets.items() if target.usage for pid in target.usage.pids}


def _users(gpu: GpuReading, owned: dict[int, str], names: Mapping[str, str]) -> list[str]:
    held: dict[str, int] = {}
    for one in gpu.processes:
        if name := names.get(owned.get(one.pid, "")):
            held[name] = held.get(name, 0) + (one.memory or 0)
    return [f"{name}, {amount(memory / GIB)} GiB" if memory else name for name, memory in held.items()]


def _strangers(gpu: GpuReading, owned: dict[int, str]) -> list[str]:
    """Processes on this GPU that are nobody's of ours. In a container the driver gives pids that are not there."""
    return [
        described(one.pid) + ("" if one.memory is None else f", {amount(one.memory / GIB)} GiB")
        for one in gpu.processes
        if one.pid not in owned and psutil.pid_exists(one.pid)
    ]


def _gpu(
    gpu: GpuReading, host: HostReading | None, owned: dict[int, str], names: Mapping[str, str]
) -> GpuCard:
    """A GPU without memory of its own shows the machine's.

    Its bars have no levels: an engine takes nine tenths of the memory on purpose, and busy is good.
    """
    used, total = gpu.memory_used, gpu.memory_total
    if gpu.memory_shared and host is not None:
        used, total = host.memory_used, host.memory_total
    if used is None or total is None:
        memory = Meter(UNKNOWN, "")
    else:
        memory = Meter(amount(used / GIB), _bar(share(used, total)))
    return GpuCard(
        index=gpu.index,
        name=_short(gpu.name),
        memory=memory,
        memory_total=size(total / GIB) if total else "",
        memory_shared=gpu.memory_shared,
        busy=Meter(_percent(gpu.utilisation), _bar(gpu.utilisation)),
        temperature="" if gpu.temperature is None else f"{gpu.temperature:.0f}",
        power="" if gpu.power is None else f"{gpu.power:,.0f}",
        throttled=gettext(gpu.throttled) if gpu.throttled else "",
        throttle_bad=gpu.throttle_bad,
        slices=[
            SliceRow(
                f"gpu-{gpu.index}-slice-{number}",
                one.name,
                UNKNOWN if one.memory_used is None else amount(one.memory_used / GIB),
                size(one.memory_total / GIB) if one.memory_total else UNKNOWN,
            )
            for number, one in enumerate(gpu.slices)
        ],
        error=gettext(gpu.error) if gpu.error else "",
        lost_at=gpu.lost_at,
        hidden=gettext(gpu.processes_hidden) if gpu.processes_hidden else "",
        users=_users(gpu, owned, names),
        strangers=_strangers(gpu, owned),
    )


def _short(name: str) -> str:
    """The part of a GPU's name that tells it from others: `RTX 6000 Ada`."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ").removesuffix(" Generation")


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.0f}"


def _bar(share: float | None) -> str:
    return "" if share is None else f"{share:.1f}"


def _level(percent: float | None) -> str:
    if percent is None or percent < FILLING:
        return ""
    return "warn" if percent < NEARLY_FULL else "bad"
