"""What each GPU is doing, as it was read and as it travels."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


def gettext_noop(sentence: str) -> str:
    """Marks a sentence for `makemessages`, which knows this name. What is read needs no Django."""
    return sentence


NO_DRIVER = gettext_noop("No NVIDIA driver is installed.")
NOT_LOADED = gettext_noop("The NVIDIA driver is installed but not loaded.")
NO_GPU = gettext_noop("The NVIDIA driver is there and shows no GPU.")
CLOSED = gettext_noop("The NVIDIA driver was closed. Trying again.")
ABSENT = (NO_DRIVER, NOT_LOADED, NO_GPU)


@dataclass(frozen=True)
class GpuProcess:
    pid: int
    memory: int | None  # bytes

    def as_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "memory_bytes": self.memory}


@dataclass(frozen=True)
class GpuSlice:
    """A part of a GPU in MIG mode, which is a GPU of its own for those who use it."""

    uuid: str
    name: str  # as in `1g.10gb`
    memory_used: int | None
    memory_total: int | None
    processes: tuple[GpuProcess, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "uuid": self.uuid,
            "name": self.name,
            "memory_used_bytes": self.memory_used,
            "memory_total_bytes": self.memory_total,
            "processes": [process.as_json() for process in self.processes],
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "GpuSlice":
        return cls(**message | {"processes": _processes(message["processes"])})


@dataclass(frozen=True)
class GpuReading:
    """One look at one GPU. Memory in bytes, power in watts; None is "this GPU does not say"."""

    index: int  # as it was first seen, whatever becomes of the GPUs before it
    uuid: str
    name: str
    memory_used: int | None = None
    memory_total: int | None = None
    memory_shared: bool = False  # it has none of its own and uses the machine's
    utilisation: float | None = None  # share of the time with work, 0 to 100
    temperature: float | None = None  # degrees Celsius
    power: float | None = None
    power_limit: float | None = None
    processes: tuple[GpuProcess, ...] = ()  # of all its slices, where it has some
    processes_hidden: str = ""  # a sentence, when the driver does not show them
    throttled: str = ""  # a sentence, while its clock is held down
    throttle_bad: bool = False  # by heat or its supply; its power limit alone is usual under load
    slices: tuple[GpuSlice, ...] = ()  # in MIG mode
    error: str = ""  # a sentence; then the values are unknown
    lost_at: datetime | None = None  # UTC; since when it has that error
    driver_index: int | None = None  # what the driver, and so CUDA, calls it now; None while it is gone

    def as_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "uuid": self.uuid,
            "name": self.name,
            "memory_used_bytes": self.memory_used,
            "memory_total_bytes": self.memory_total,
            "memory_shared": self.memory_shared,
            "utilisation_percent": self.utilisation,
            "temperature_celsius": self.temperature,
            "power_watts": self.power,
            "power_limit_watts": self.power_limit,
            "processes": [process.as_json() for process in self.processes],
            "processes_hidden": self.processes_hidden,
            "throttled": self.throttled,
            "throttle_bad": self.throttle_bad,
            "slices": [one.as_json() for one in self.slices],
            "error": self.error,
            "lost_at": self.lost_at and self.lost_at.isoformat(),
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "GpuReading":
        lost_at = message["lost_at"]
        return cls(
            **message
            | {
                "processes": _processes(message["processes"]),
                "slices": tuple(GpuSlice.from_message(one) for one in message["slices"]),
                "lost_at": lost_at and datetime.fromisoformat(lost_at),
            }
        )


@dataclass(frozen=True)
class GpuReadings:
    """All GPUs in the driver's order. Without one the list is empty and `reason` is a sentence."""

    gpus: list[GpuReading]
    reason: str
    at: datetime  # UTC

    @property
    def absent(self) -> bool:
        """There is simply no GPU to use, in contrast to one that should be there."""
        return not self.gpus and self.reason in ABSENT

    @property
    def out_of_reach(self) -> bool:
        """There should be one, and the driver will not give it to anybody before somebody mends it."""
        return not self.gpus and bool(self.reason) and self.reason not in (*ABSENT, CLOSED)

    def as_json(self) -> dict[str, Any]:
        return {"gpus": [gpu.as_json() for gpu in self.gpus], "reason": self.reason}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "GpuReadings":
        gpus = [GpuReading.from_message(gpu) for gpu in message["gpus"]]
        return cls(gpus, message["reason"], datetime.fromisoformat(message["at"]))


def _processes(messages: list[dict[str, Any]]) -> tuple[GpuProcess, ...]:
    return tuple(GpuProcess(**one) for one in messages)
