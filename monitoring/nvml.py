"""Reads NVIDIA GPUs through NVML."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pynvml

from monitoring.gpu import (
    CLOSED,
    NO_DRIVER,
    NO_GPU,
    NOT_LOADED,
    GpuProcess,
    GpuReading,
    GpuReadings,
    GpuSlice,
    gettext_noop,
)

Value = TypeVar("Value")
Handle = Any  # of a device, as pynvml gives it

RETRY = 5.0  # seconds between two attempts to reach a driver that is not there

# These say something about one GPU as a whole; any other code takes only its own value away.
_LOST = gettext_noop("The GPU is lost. It needs a reset or a reboot.")
_GPU_GONE = {
    pynvml.NVML_ERROR_GPU_IS_LOST: _LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED: gettext_noop("The GPU needs a reset before it can be used again."),
    pynvml.NVML_ERROR_INSUFFICIENT_POWER: gettext_noop("The GPU lacks power. Check its power cables."),
    pynvml.NVML_ERROR_IRQ_ISSUE: gettext_noop("The GPU's interrupts do not arrive. Reboot the machine."),
}
# These say that the driver itself is out of reach.
_DRIVER_GONE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: NO_DRIVER,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: gettext_noop(
        "The NVIDIA driver and its library differ. Reboot the machine."
    ),
    pynvml.NVML_ERROR_UNINITIALIZED: CLOSED,
}
_OTHER_START = {
    pynvml.NVML_ERROR_NOT_FOUND: NO_GPU,
    pynvml.NVML_ERROR_NO_PERMISSION: gettext_noop("This user may not use the NVIDIA driver."),
}
# These share the machine's memory, so "not supported" is the right answer to how much of their own they have.
_SHARING_MEMORY = ("GB10", "Thor", "Orin", "Xavier", "Tegra")
# Bits of nvmlClocksEventReasons, the worst first. Idle, fixed clocks and the like are no reason to say anything.
_HEAT = pynvml.nvmlClocksEventReasonSwThermalSlowdown | pynvml.nvmlClocksEventReasonHwThermalSlowdown
_SLOWDOWNS = (
    (_HEAT, gettext_noop("Slowed down by heat."), True),
    (
        pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
        gettext_noop("Slowed down: its power supply brakes it."),
        True,
    ),
    (
        pynvml.nvmlClocksEventReasonHwSlowdown,
        gettext_noop("Slowed down by its hardware: heat or power."),
        True,
    ),
    (pynvml.nvmlClocksEventReasonSwPowerCap, gettext_noop("At its power limit."), False),
)
_HIDDEN = {
    pynvml.NVML_ERROR_NO_PERMISSION: gettext_noop("This user may not see the processes on it."),
    pynvml.NVML_ERROR_NOT_SUPPORTED: gettext_noop("It does not tell which processes use it."),
}
_HIDDEN_BY_WINDOWS = gettext_noop("Under WSL, Windows does not tell which processes use it.")
_HIDDEN_OTHERWISE = gettext_noop("The driver does not tell which processes use it at the moment.")


@dataclass(frozen=True)
class _Processes:
    found: tuple[GpuProcess, ...] = ()
    hidden: str = ""


class GpuReader:
    """Reads all GPUs and never raises for what a driver answers; a driver that comes or goes is noticed.

    A GPU is known by its UUID: one that is lost keeps its card and its index, and those of the others do not shift.
    A call may hang inside a driver that is dying, so `read` belongs in a thread that nobody must wait for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, system: str = "") -> None:
        self._clock = clock
        self._windows = "microsoft" in (system or os.uname().release).lower()
        self._started = False
        self._retry_at = clock()
        self._reason = ""
        self._known: dict[str, GpuReading] = {}  # by UUID, else by where it was seen: who a GPU is
        self._lost_at: dict[str, datetime] = {}  # by the same

    def read(self) -> GpuReadings:
        gpus: list[GpuReading] = []
        try:
            if self._start():
                gpus = self._all()
                self._reason = "" if gpus else NO_GPU
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

    def _all(self) -> list[GpuReading]:
        """Those that the driver shows, and those that it has shown before. Raises NVMLError without a driver."""
        found = [self._gpu(place) for place in range(pynvml.nvmlDeviceGetCount())]
        shown = {gpu.uuid for gpu in found}
        missing = {key: gpu for key, gpu in self._known.items() if key not in shown}
        cards = [self._recognised(gpu, missing) for gpu in found]
        cards += [self._dated(key, replace(gpu, error=_LOST)) for key, gpu in missing.items()]
        return sorted(cards, key=lambda gpu: gpu.index)

    def _recognised(self, gpu: GpuReading, missing: dict[str, GpuReading]) -> GpuReading:
        """With the index and the name that it had at first. Takes it out of the missing ones.

        One that does not tell its UUID, as most that are lost, is the missing one whose index fits: when a GPU falls
        off, those after it move up.
        """
        key = gpu.uuid
        if not key:
            fitting = [one for one, known in missing.items() if known.index >= gpu.index]
            key = min(fitting, key=lambda one: missing[one].index, default=f"at {gpu.index}")
        elif key not in self._known:  # perhaps it was here, but never well enough to tell its UUID
            for found in (missing, self._known):
                found.pop(f"at {gpu.index}", None)
        missing.pop(key, None)
        known = self._known.get(key) or GpuReading(self._free_index(gpu.index), gpu.uuid, gpu.name)
        known = self._known[key] = replace(known, name=known.name or gpu.name)
        return self._dated(key, replace(gpu, index=known.index, uuid=known.uuid, name=gpu.name or known.name))

    def _free_index(self, place: int) -> int:
        taken = {gpu.index for gpu in self._known.values()}
        return next(index for index in count(place) if index not in taken)

    def _dated(self, key: str, gpu: GpuReading) -> GpuReading:
        if not gpu.error:
            self._lost_at.pop(key, None)
            return gpu
        return replace(gpu, lost_at=self._lost_at.setdefault(key, datetime.now(UTC)))

    def _gpu(self, place: int) -> GpuReading:
        """The GPU that the driver has there now. Raises NVMLError only when the whole driver is gone."""
        uuid = name = ""
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(place)
            uuid = _value(lambda: str(pynvml.nvmlDeviceGetUUID(handle))) or ""
            name = _value(lambda: str(pynvml.nvmlDeviceGetName(handle))) or ""
            return self._values(GpuReading(place, uuid, name, driver_index=place), handle)
        except pynvml.NVMLError as error:
            if error.value in _DRIVER_GONE:
                raise
            sentence = _GPU_GONE.get(error.value, f"The NVIDIA driver answered: {error}.")
            return GpuReading(place, uuid, name, error=sentence)

    def _values(self, gpu: GpuReading, handle: Handle) -> GpuReading:
        """With all that it says. Raises NVMLError when the GPU or the driver is gone."""
        used, total = _memory(handle)
        milliwatts = _value(lambda: int(pynvml.nvmlDeviceGetPowerUsage(handle)))
        limit = _value(lambda: int(pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)))
        slices = [self._slice(part, gpu.name) for part in _parts(handle)]
        processes = _of_all(slices) if slices else self._processes(handle)
        throttled, bad = _throttling(handle)
        return replace(
            gpu,
            memory_used=used,
            memory_total=total,
            memory_shared=total is None and any(word in gpu.name for word in _SHARING_MEMORY),
            utilisation=_value(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            temperature=_value(
                lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
            ),
            power=None if milliwatts is None else milliwatts / 1000,
            power_limit=None if limit is None else limit / 1000,
            processes=processes.found,
            processes_hidden=processes.hidden,
            throttled=throttled,
            throttle_bad=bad,
            slices=tuple(one for one, _ in slices),
        )

    def _slice(self, handle: Handle, whole: str) -> tuple[GpuSlice, _Processes]:
        """Its own name is the whole GPU's, then `MIG`, then what part it is."""
        name = _value(lambda: str(pynvml.nvmlDeviceGetName(handle))) or ""
        used, total = _memory(handle)
        processes = self._processes(handle)
        one = GpuSlice(
            uuid=_value(lambda: str(pynvml.nvmlDeviceGetUUID(handle))) or "",
            name=name.removeprefix(whole).replace("MIG", "").strip(),
            memory_used=used,
            memory_total=total,
            processes=processes.found,
        )
        return one, processes

    def _processes(self, handle: Handle) -> _Processes:
        """Raises NVMLError when the GPU or the driver is gone."""
        try:
            return _Processes(_listed(handle))
        except pynvml.NVMLError as error:
            if error.value in _GPU_GONE or error.value in _DRIVER_GONE:
                raise
            if self._windows and error.value == pynvml.NVML_ERROR_NOT_SUPPORTED:
                return _Processes(hidden=_HIDDEN_BY_WINDOWS)
            return _Processes(hidden=_HIDDEN.get(error.value, _HIDDEN_OTHERWISE))


def _memory(handle: Handle) -> tuple[int, int] | tuple[None, None]:
    """Used and total; a total of nothing is no answer."""
    memory = _value(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    return (int(memory.used), int(memory.total)) if memory is not None and memory.total else (None, None)


def _listed(handle: Handle) -> tuple[GpuProcess, ...]:
    try:
        found = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    except pynvml.NVMLError_FunctionNotFound:  # a driver before 510
        found = pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return tuple(GpuProcess(process.pid, process.usedGpuMemory) for process in found)


def _throttling(handle: Handle) -> tuple[str, bool]:
    """Why its clock is held down now, and whether that is bad."""
    reasons = _value(lambda: int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle)))
    if reasons is None:  # its name before driver 535
        reasons = _value(lambda: int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)))
    return next(((text, bad) for bits, text, bad in _SLOWDOWNS if (reasons or 0) & bits), ("", False))


def _parts(handle: Handle) -> Iterator[Handle]:
    """The slices of a GPU in MIG mode, which have handles of their own."""
    mode = _value(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0])
    most = _value(lambda: int(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle))) if mode else 0
    for number in range(most or 0):
        part = _value(partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number))
        if part is not None:
            yield part


def _of_all(slices: list[tuple[GpuSlice, _Processes]]) -> _Processes:
    """The whole GPU may refuse to tell, or count another way: its slices know."""
    found = tuple(process for one, _ in slices for process in one.processes)
    return _Processes(found, next((processes.hidden for _, processes in slices if processes.hidden), ""))


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
