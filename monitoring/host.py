"""What the machine is doing: processor, memory, disk, and the console's own size."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class DiskReading:
    """A file system on which models lie, in bytes."""

    path: str  # the folder of models
    used: int
    free: int
    total: int


@dataclass(frozen=True)
class HostReading:
    """One look at the machine. Amounts are bytes, shares are 0 to 100, None is "not known"."""

    at: datetime  # UTC
    cpu_percent: float | None  # of all threads together, since the reading before
    threads: int
    load: float | None  # average of one minute
    memory_used: int
    memory_total: int  # what the console and its engines may use: a container's limit counts
    swap_used: int
    swap_total: int
    disk_used: int | None  # of the file system that holds the data folder
    disk_free: int | None  # for us; a file system may keep more for root
    disk_total: int | None
    console_rss: int
    cores: tuple[float, ...] = ()  # of each thread, since the reading before
    model_disks: tuple[DiskReading, ...] = ()  # but for the one that holds the data folder

    @property
    def memory_percent(self) -> float | None:
        return share(self.memory_used, self.memory_total)

    @property
    def disk_percent(self) -> float | None:
        """Used of what can be used, as `df` counts it."""
        if self.disk_used is None or self.disk_free is None:
            return None
        return share(self.disk_used, self.disk_used + self.disk_free)

    def as_json(self) -> dict[str, dict[str, Any]]:
        """The objects `cpu`, `memory` and `disk` of the system status."""
        return {
            "cpu": {
                "percent": self.cpu_percent,
                "threads": self.threads,
                "load_1min": self.load,
                "per_thread_percent": list(self.cores),
            },
            "memory": {
                "used_bytes": self.memory_used,
                "total_bytes": self.memory_total,
                "percent": self.memory_percent,
                "swap_used_bytes": self.swap_used,
                "swap_total_bytes": self.swap_total,
                "console_bytes": self.console_rss,
            },
            "disk": {
                "used_bytes": self.disk_used,
                "free_bytes": self.disk_free,
                "total_bytes": self.disk_total,
                "percent": self.disk_percent,
                "models": [
                    {
                        "path": one.path,
                        "used_bytes": one.used,
                        "free_bytes": one.free,
                        "total_bytes": one.total,
                    }
                    for one in self.model_disks
                ],
            },
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "HostReading":
        return cls(
            **message
            | {
                "at": datetime.fromisoformat(message["at"]),
                "cores": tuple(message["cores"]),
                "model_disks": tuple(DiskReading(**one) for one in message["model_disks"]),
            }
        )


class HostReader:
    """Reads the machine without waiting. The processor's share is that since the same reader's last reading.

    It keeps its own processor times: psutil keeps them per thread, and each reading may come from another.
    """

    def __init__(
        self,
        data_dir: Path,
        model_dirs: Iterable[Path] = (),
        cgroups: Path = CGROUPS,
        own_cgroups: Path = OWN_CGROUPS,
    ) -> None:
        self._data_dir = data_dir
        self._model_dirs = tuple(model_dirs)
        self._cgroups = cgroups
        self._own_cgroups = own_cgroups
        self._console = psutil.Process()
        self._times = _processor_times()
        self._cpu_percent: float | None = None
        self._core_times = psutil.cpu_times(percpu=True)
        self._cores: tuple[float, ...] = ()

    def read(self) -> HostReading:
        """Raises psutil.Error or OSError where the system does not let us look at all."""
        used, total = self._memory()
        swap = psutil.swap_memory()
        disk_used, disk_free, disk_total = self._disk()
        return HostReading(
            at=datetime.now(UTC),
            cpu_percent=self._cpu(),
            threads=psutil.cpu_count() or 1,
            load=_load(),
            memory_used=used,
            memory_total=total,
            swap_used=swap.used,
            swap_total=swap.total,
            disk_used=disk_used,
            disk_free=disk_free,
            disk_total=disk_total,
            console_rss=self._console.memory_info().rss,
            cores=self._each_core(),
            model_disks=self._model_disks(),
        )

    def _cpu(self) -> float | None:
        before, self._times = self._times, _processor_times()
        busy, whole = self._times[0] - before[0], self._times[1] - before[1]
        # Two readings within one tick of the kernel's clock show no time: what was known stays.
        if whole > 0:
            self._cpu_percent = round(min(max(100 * busy / whole, 0.0), 100.0), 1)
        return self._cpu_percent

    def _each_core(self) -> tuple[float, ...]:
        before, self._core_times = self._core_times, psutil.cpu_times(percpu=True)
        spans = [
            (_busy(new) - _busy(old), _whole(new) - _whole(old))
            for old, new in zip(before, self._core_times, strict=False)
        ]
        if all(whole > 0 for _, whole in spans):
            self._cores = tuple(round(min(max(100 * busy / whole, 0.0), 100.0), 1) for busy, whole in spans)
        return self._cores

    def _model_disks(self) -> tuple[DiskReading, ...]:
        """Each file system once, and none that is shown already as that of the data folder."""
        seen = {_device(self._data_dir)}
        found = []
        for folder in self._model_dirs:
            device = _device(folder)
            if device is None or device in seen:
                continue
            seen.add(device)
            try:
                usage = shutil.disk_usage(folder)
            except OSError:
                continue
            found.append(DiskReading(str(folder), usage.used, usage.free, usage.total))
        return tuple(found)

    def _memory(self) -> tuple[int, int]:
        """Used and total. A control group with a limit below the machine's memory stands for the machine."""
        memory = psutil.virtual_memory()
        limited = limited_memory(self._cgroups, self._own_cgroups)
        if limited and limited[1] < memory.total:
            return limited
        return memory.total - memory.available, memory.total

    def _disk(self) -> tuple[int, int, int] | tuple[None, None, None]:
        try:
            usage = shutil.disk_usage(self._data_dir)
        except OSError:
            return None, None, None
        return usage.used, usage.free, usage.total


def share(part: float, whole: float) -> float | None:
    """`part` of `whole` as 0 to 100, None when there is no whole."""
    return round(min(100 * part / whole, 100.0), 1) if whole > 0 else None


def limited_memory(cgroups: Path, own_cgroups: Path) -> tuple[int, int] | None:
    """Used and allowed bytes of the tightest control group above us, None without a limit.

    Used leaves out the file cache that the kernel gives back first, as `docker stats` does.
    """
    found = [memory for folder, files in _groups(cgroups, own_cgroups) if (memory := _group(folder, files))]
    return min(found, key=lambda memory: memory[1], default=None)


# Names of the files in version 2 and in version 1: limit, usage, and the cache's line in memory.stat.
_VERSION_2 = ("memory.max", "memory.current", "inactive_file ")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")


def _groups(cgroups: Path, own_cgroups: Path) -> list[tuple[Path, tuple[str, str, str]]]:
    """Our control group and those above it, up to the root that we can see."""
    try:
        lines = own_cgroups.read_text().splitlines()
    except OSError:
        return []
    groups = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, files = cgroups, _VERSION_2
        elif "memory" in controllers.split(","):
            root, files = cgroups / "memory", _VERSION_1
        else:
            continue
        own = root / path.lstrip("/")
        # Inside a container the path may be the outer one: then only the root is there to read.
        groups += [(folder, files) for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return groups


def _group(folder: Path, files: tuple[str, str, str]) -> tuple[int, int] | None:
    limit, usage, cache = files
    try:
        allowed = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # not there, or the word "max"
        return None
    cached = next((int(line.split()[1]) for line in stat if line.startswith(cache)), 0)
    return max(used - cached, 0), allowed


def _processor_times() -> tuple[float, float]:
    """Seconds that all threads were busy, and all their seconds. Guests are part of `user` on Linux."""
    times = psutil.cpu_times()
    return _busy(times), _whole(times)


def _whole(times: Any) -> float:
    return float(sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))


def _busy(times: Any) -> float:
    return _whole(times) - float(times.idle) - float(getattr(times, "iowait", 0.0))


def _device(folder: Path) -> int | None:
    """The file system on which a folder lies; None for one that is not there."""
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
