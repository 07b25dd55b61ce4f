"""What a supervisor remembers of a launch between two steps. All of it can be lost and is then found again."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass, field
from typing import Any

from instances.logs import store
from instances.models import Launch
from instances.vllm.fit.measured import MeasuredReader
from instances.vllm.notices import NoticeReader
from instances.vllm.phases import PhaseReader
from monitoring.gpu import GpuReadings
from monitoring.sampler import Readings, TargetReading

from . import downloads
from .liveness import Liveness
from .progress import Look, Progress
from .readiness import Answer

READ_LINES = 2000  # of a starting engine's log in one step
LATE_BYTES = (
    64 * 1024
)  # of a running engine's log in one step; what is more is a flood, and not read for notices
LOW_DISK = 1024 * 1024  # bytes
DISK_FULL = {
    "code": "disk-full",
    "text": "The disk under its log is full: lines are being lost.",
    "advice": "Free some space; the engine goes on, and so does the log as soon as there is room.",
    "evidence": "",
}


@dataclass
class Watched:
    """Times are monotonic seconds."""

    since: float  # when this supervisor first saw it
    progress: Progress
    liveness: Liveness = field(default_factory=Liveness)
    phases: PhaseReader = field(default_factory=PhaseReader)
    notices: NoticeReader = field(default_factory=NoticeReader)
    measured: MeasuredReader = field(default_factory=MeasuredReader)
    offset: int = 0  # up to where the log was read
    log_stamp: tuple[int, int] = (0, 0)  # inode and bytes of its newest part when it was read
    answer: Answer | None = None  # of the newest probe, not yet judged
    misses: int = 0  # answers in a row that were not well
    missed: str = ""  # what the last of them said
    suspended: int = 0  # readings in a row
    unhealthy_since: float | None = None
    stop_sent: bool = False
    kill_sent: bool = False
    gone_since: float | None = None  # the tree is gone, but not yet all that it held
    pids: tuple[int, ...] = ()  # of its tree, as last seen
    gpu_pids: frozenset[int] = frozenset()  # those of them that held memory on a GPU

    @classmethod
    def first_seen(cls, now: float) -> Watched:
        return cls(since=now, progress=Progress(now))

    def read_log(self, launch: Launch) -> bool:
        """Take in what the engine has printed since the last time; whether its start has moved on."""
        stamp = _stamp(launch)
        if stamp == self.log_stamp:
            return False
        starting = launch.ready_at is None
        if not starting:
            self.offset = max(self.offset, store.size(launch.directory) - LATE_BYTES)
        page = store.read(launch.directory, offset=self.offset, limit=READ_LINES)
        self.offset = page.next_offset
        if len(page.lines) < READ_LINES:
            self.log_stamp = stamp
        moved = False
        for line in page.lines:
            self.notices.feed(line.text)
            if starting:  # later lines would only lengthen the last phase, and measure nothing
                self.measured.feed(line.text)
                moved |= self.phases.feed(
                    line.text, dt.datetime.fromisoformat(line.time) if line.time else None
                )
        return moved

    def all_phases(self, launch: Launch) -> dict[str, Any]:
        """What its log has told, and the download that went before it."""
        return self.phases.snapshot() | {
            key: value for key, value in launch.phases.items() if key == downloads.FETCHED
        }

    def all_notices(self, launch: Launch) -> list[dict[str, Any]]:
        """What its log has told, also to supervisors before this one, and how its disk is now."""
        known = {one["code"]: one for one in (*launch.notices, *self.notices.notices)}
        known.pop(DISK_FULL["code"], None)
        return [*known.values(), *([DISK_FULL] if _disk_is_full(launch) else [])]

    def saw(self, launch: Launch, readings: Readings, now: float) -> None:
        """Take in a fresh reading of everything."""
        target = readings.targets.get(f"launch:{launch.pk}") or TargetReading(None, None)
        usage = target.usage
        if usage is not None:
            self.pids = usage.pids
            self.suspended = self.suspended + 1 if usage.suspended else 0
            if gpu_pids := _on_gpus(readings.gpus) & set(usage.pids):
                self.gpu_pids = frozenset(gpu_pids)
        cpu_percent = usage.cpu_percent if usage else None
        if launch.serving:
            self.liveness.saw(target.engine, cpu_percent, now)
            return
        look = Look(
            phase=self.phases.phase,
            counted=tuple(self.phases.progress or ()),
            cpu_percent=cpu_percent,
            io_bytes=usage.io_bytes if usage else None,
            gpu_percent=_own_gpu_percent(readings.gpus, self.gpu_pids),
            gpu_memory=_memory_of(readings.gpus, self.gpu_pids),
        )
        self.progress.saw(look, now)


def _on_gpus(gpus: GpuReadings | None) -> set[int]:
    return {process.pid for gpu in gpus.gpus for process in gpu.processes} if gpus else set()


def _own_gpu_percent(gpus: GpuReadings | None, own: frozenset[int]) -> float | None:
    """The work on GPUs that nobody else uses: of a shared one it cannot be told whose it is."""
    if gpus is None:
        return None
    loads = [
        gpu.utilisation
        for gpu in gpus.gpus
        if gpu.utilisation is not None and gpu.processes and {one.pid for one in gpu.processes} <= own
    ]
    return max(loads, default=None)


def _memory_of(gpus: GpuReadings | None, own: frozenset[int]) -> int | None:
    if gpus is None or not own:
        return None
    return sum(one.memory or 0 for gpu in gpus.gpus for one in gpu.processes if one.pid in own)


def _stamp(launch: Launch) -> tuple[int, int]:
    try:
        found = os.stat(launch.directory / "log")
    except FileNotFoundError:
        return (0, 0)
    return found.st_ino, found.st_size


def _disk_is_full(launch: Launch) -> bool:
    try:
        disk = os.statvfs(launch.directory)
    except OSError:  # it has no directory yet
        return False
    return disk.f_bavail * disk.f_frsize < LOW_DISK
