"""What each NVIDIA GPU is doing, through NVML."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pynvml

Value = TypeVar("Value")


def gettext_noop(sentence: str) -> str:
    """Marks a sentence for `makemessages`, which knows this name. The reader itself needs no Django."""
    return sentence


RETRY = 5.0  # seconds between two attempts to reach a driver that is not there

# These say something about one GPU as a whole; any other code takes only its own value away.
_GPU_GONE = {
    pynvml.NVML_ERROR_GPU_IS_LOST: gettext_noop("The GPU is lost. It needs a reset or a reboot."),
    pynvml.NVML_ERROR_RESET_REQUIRED: gettext_noop("The GPU needs a reset before it can be used again."),
    pynvml.NVML_ERROR_INSUFFICIENT_POWER: gettext_noop("The GPU lacks power. Check its power cables."),
    pynvml.NVML_ERROR_IRQ_ISSUE: gettext_noop("The GPU's interrupts do not arrive. Reboot the machine."),
}
# These say that the driver itself is out of reach.
_DRIVER_GONE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: gettext_noop("No NVIDIA driver is installed."),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: gettext_noop("The NVIDIA driver is installed but not loaded."),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: gettext_noop(
        "The NVIDIA driver and its library differ. Reboot the machine."
    ),
    pynvml.NVML_ERROR_UNINITIALIZED: gettext_noop("The NVIDIA driver was closed. Trying again."),
}
_NO_GPU = gettext_noop("The NVIDIA driver is there and shows no GPU.")
_OTHER_START = {
    pynvml.NVML_ERROR_NOT_FOUND: _NO_GPU,
    pynvml.NVML_ERROR_NO_PERMISSION: gettext_noop("This user may not use the NVIDIA driver."),
}
_ABSENT = (
    _NO_GPU,
    _DRIVER_GONE[pynvml.NVML_ERROR_LIBRARY_NOT_FOUND],
    _DRIVER_GONE[pynvml.NVML_ERROR_DRIVER_NOT_LOADED],
)
# These share the machine's memory, so "not supported" is the right answer to how much of their own they have.
_SHARING_MEMORY = ("GB10", "Thor", "Orin", "Xavier", "Tegra")


@dataclass(frozen=True)
class GpuProcess:
    pid: int
    memory: int | None  # bytes


@dataclass(frozen=True)
class GpuReading:
    """One look at one GPU. Memory in bytes, power in watts; None is "this GPU does not say"."""

    index: int
    uuid: str
    name: str
    memory_used: int | None = None
    memory_total: int | None = None
    memory_shared: bool = False  # it has none of its own and uses the machine's
    utilisation: float | None = None  # share of the time with work, 0 to 100
    temperature: float | None = None  # degrees Celsius
    power: float | None = None
    power_limit: float | None = None
    processes: tuple[GpuProcess, ...] = ()
    error: str = ""  # a sentence; then the values are unknown

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
            "processes": [{"pid": process.pid, "memory_bytes": process.memory} for process in self.processes],
            "error": self.error,
        }


@dataclass(frozen=True)
class GpuReadings:
    """All GPUs in the driver's order. Without one the list is empty and `reason` is a sentence."""

    gpus: list[GpuReading]
    reason: str
    at: datetime  # UTC

    @property
    def absent(self) -> bool:
        """There is simply no GPU to use, in contrast to one that should be there."""
        return not self.gpus and self.reason in _ABSENT

    def as_json(self) -> dict[str, Any]:
        return {"gpus": [gpu.as_json() for gpu in self.gpus], "reason": self.reason}

    def to_message(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat()}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "GpuReadings":
        gpus = [
            GpuReading(**gpu | {"processes": tuple(GpuProcess(**process) for process in gpu["processes"])})
            for gpu in message["gpus"]
        ]
        return cls(gpus, message["reason"], datetime.fromisoformat(message["at"]))


class GpuReader:
    """Reads all GPUs and never raises for what a driver answers; a driver that comes or goes is noticed.

    A call may hang inside a driver that is dying, so `read` belongs in a thread that nobody must wait for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = False
        self._retry_at = clock()
        self._reason = ""
        self._known: dict[int, GpuReading] = {}  # by index: who a GPU was, for the day when it is lost

    def read(self) -> GpuReadings:
        gpus: list[GpuReading] = []
        try:
            if self._start():
                gpus = [self._gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
                self._reason = "" if gpus else _NO_GPU
        except pynvml.NVMLError as error:
            gpus = []
            self._stop(error)
        return GpuReadings(gpus, self._reason, datetime.now(UTC))

    def _start(self) -> bool:
        if not self._started and self._clock() >= self._retry_at:
            pynvml.nvmlInit()
            self._started = True
        return self._started

    def _stop(self, error: pynvml.NVMLError) -> None:
        self._reason = {**_DRIVER_GONE, **_GPU_GONE, **_OTHER_START}.get(
            error.value, f"The NVIDIA driver answered: {error}."
        )
        self._retry_at = self._clock() + RETRY
        if self._started:
            self._started = False
            with suppress(pynvml.NVMLError):  # it may be gone already
                pynvml.nvmlShutdown()

    def _gpu(self, index: int) -> GpuReading:
        """Raises NVMLError only when the whole driver is gone."""
        try:
            return self._values(index, pynvml.nvmlDeviceGetHandleByIndex(index))
        except pynvml.NVMLError as error:
            if error.value in _DRIVER_GONE:
                raise
            known = self._known.get(index, GpuReading(index, uuid="", name=""))
            sentence = _GPU_GONE.get(error.value, f"The NVIDIA driver answered: {error}.")
            return replace(known, error=sentence)

    def _values(self, index: int, handle: object) -> GpuReading:
        name = _value(lambda: str(pynvml.nvmlDeviceGetName(handle))) or ""
        uuid = _value(lambda: str(pynvml.nvmlDeviceGetUUID(handle))) or ""
        self._known[index] = GpuReading(index, uuid, name)
        memory = _value(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
        if memory is not None and not memory.total:
            memory = None
        milliwatts = _value(lambda: int(pynvml.nvmlDeviceGetPowerUsage(handle)))
        limit = _value(lambda: int(pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)))
        return GpuReading(
            index=index,
            uuid=uuid,
            name=name,
            memory_used=memory and int(memory.used),
            memory_total=memory and int(memory.total),
            memory_shared=memory is None and any(word in name for word in _SHARING_MEMORY),
            utilisation=_value(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            temperature=_value(
                lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
            ),
            power=None if milliwatts is None else milliwatts / 1000,
            power_limit=None if limit is None else limit / 1000,
            processes=_value(lambda: _processes(handle)) or (),
        )


def _processes(handle: object) -> tuple[GpuProcess, ...]:
    try:
        found = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    except pynvml.NVMLError_FunctionNotFound:  # a driver before 510
        found = pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return tuple(GpuProcess(process.pid, process.usedGpuMemory) for process in found)


def _value(read: Callable[[], Value]) -> Value | None:
    """One value, None where the GPU does not give it. Raises NVMLError when the GPU or the driver is gone."""
    try:
        return read()
    except pynvml.NVMLError as error:
        if error.value in _GPU_GONE or error.value in _DRIVER_GONE:
            raise
        return None
    except UnicodeDecodeError:  # a dying GPU was seen to answer with noise for its name
        return None
