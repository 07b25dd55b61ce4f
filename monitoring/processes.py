"""What a process and all below it use."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

RESCAN = 5.0  # seconds between two looks at who is whose child: the whole process table is read for it


@dataclass(frozen=True)
class Usage:
    """A tree's use. Processor: 100 is one thread, None in the first reading. Memory in bytes."""

    cpu_percent: float | None
    memory: int
    processes: int
    pids: tuple[int, ...] = ()  # the root first
    io_bytes: int | None = (
        None  # read and written by those that live, since they began; None: may not be seen
    )
    suspended: bool = False  # one of them stands still (SIGSTOP, a debugger)


@dataclass(frozen=True)
class _Part:
    """One process's share of its tree's use."""

    cpu_percent: float
    rss: int
    shared: int
    io_bytes: int | None
    suspended: bool


class ProcessReader:
    """Reads process trees; a process that ends meanwhile is simply not counted.

    Between two readings it keeps the psutil objects, which hold the processor times to compare with, and for
    a few seconds who belongs to which tree.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._trees: dict[int, list[psutil.Process]] = {}  # by the root's pid
        self._measured: set[psutil.Process] = set()  # of which there is something to compare with
        self._scanned_at = float("-inf")

    def usages(self, pids: Iterable[int]) -> dict[int, Usage]:
        """The trees that are there, by the pid of their roots; all other trees are forgotten."""
        wanted = set(pids)
        if wanted != set(self._trees) or self._clock() - self._scanned_at >= RESCAN:
            self._scan(wanted)
        found = {pid: usage for pid in wanted if (usage := self._usage(pid)) is not None}
        self._measured = {process for tree in self._trees.values() for process in tree}
        return found

    def _scan(self, wanted: set[int]) -> None:
        """One look at the process table for all trees together."""
        self._scanned_at = self._clock()
        children: dict[int, list[psutil.Process]] = {}
        roots: dict[int, psutil.Process] = {}
        if wanted:
            for process in psutil.process_iter(["ppid"]):
                if process.info["ppid"] is not None:
                    children.setdefault(process.info["ppid"], []).append(process)
                if process.pid in wanted:
                    roots[process.pid] = process
        known = {process: process for process in self._measured}  # equal: the same pid and the same start
        self._trees = {pid: [] for pid in wanted}
        for pid, root in roots.items():
            todo, seen = [root], self._trees[pid]
            while todo:
                process = todo.pop()
                seen.append(known.get(process, process))
                todo += children.get(process.pid, ())

    def _usage(self, pid: int) -> Usage | None:
        """None when no such process runs, or when it may not be looked at."""
        parts: dict[psutil.Process, _Part] = {}
        for process in self._trees.get(pid, ()):
            part = _look(process)
            if part is not None:
                parts[process] = part
        if not parts or next(iter(parts)).pid != pid:
            self._trees[pid] = []
            return None
        self._trees[pid] = list(parts)
        io = [part.io_bytes for part in parts.values() if part.io_bytes is not None]
        root_is_known = next(iter(parts)) in self._measured
        # Pages that processes share (libraries, shared memory) are counted once. Exact shares (PSS) would
        # make the kernel walk all pages of a big engine at each reading.
        private = sum(part.rss - part.shared for part in parts.values())
        return Usage(
            cpu_percent=round(sum(part.cpu_percent for part in parts.values()), 1) if root_is_known else None,
            memory=private + max(part.shared for part in parts.values()),
            processes=len(parts),
            pids=tuple(process.pid for process in parts),
            io_bytes=sum(io) if io else None,
            suspended=any(part.suspended for part in parts.values()),
        )


def _look(process: psutil.Process) -> _Part | None:
    """None for one that has ended, or that may not be looked at."""
    try:
        with process.oneshot():
            memory = process.memory_info()
            if not memory.rss:
                return None  # a zombie: over, but not yet collected by its parent
            used = process.cpu_percent()
            suspended = process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return None
    return _Part(used, memory.rss, getattr(memory, "shared", 0), _io_bytes(process), suspended)


def _io_bytes(process: psutil.Process) -> int | None:
    try:
        counters = process.io_counters()
    except (psutil.Error, OSError, AttributeError):  # another user's; a system that does not count
        return None
    return int(counters.read_bytes + counters.write_bytes)


def described(pid: int) -> str:
    """Who this is, in words: `python3 (process 123 of mia)`."""
    try:
        process = psutil.Process(pid)
        return f"{process.name()} (process {pid} of {process.username()})"
    except psutil.Error:
        return f"process {pid}"
