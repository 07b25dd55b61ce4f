"""Processes as /proc shows them. A pid is never trusted alone: its start time says whether it is still the
same.

Standard library only and without dataclasses or typing: the shim imports it and must stay small.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from functools import cache


class Process:
    """One line of the process table, as it was when it was read."""

    __slots__ = ("group", "parent", "pid", "session", "start", "state", "threads")

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat.rpartition(b")")[2].split()  # the name stands in brackets and may hold anything
        self.pid = pid
        self.state = fields[0]
        self.parent, self.group, self.session = int(fields[1]), int(fields[2]), int(fields[3])
        self.threads = int(fields[17])
        self.start = int(fields[19])  # clock ticks since the machine started

    @property
    def ended(self) -> bool:
        """Whether it only waits to be collected. (A main thread may be gone while others go on.)"""
        return self.state in (b"Z", b"X") and self.threads <= 1


@cache
def boot_id() -> str:
    """What tells this run of the machine, or of the container, from every other one.

    A container that is started again keeps the kernel's id; but its first process is another one.
    """
    first = look(1)
    with open("/proc/sys/kernel/random/boot_id") as file:
        return f"{file.read().strip()} {first.start if first else 0}"


def look(pid: int) -> Process | None:
    """The process with this pid, ended ones included; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return Process(pid, file.read())
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last one where /proc hides others'
        return None


def table() -> dict[int, Process]:
    """All processes of the machine, by pid."""
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def descendants(roots: Iterable[int], processes: dict[int, Process]) -> list[Process]:
    """The children of `roots`, their children and so on; not the roots themselves."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                todo.append(child.pid)
    return list(found.values())


def send(pid: int, start: int, signum: int) -> bool:
    """Signal the process that has this pid and this start time, and never another one.

    Returns whether it was there. The pidfd comes first: once it is open it cannot come to mean somebody else.
    Raises PermissionError if it belongs to another user.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        process = look(pid)
        if process is None or process.start != start or process.ended:
            return False
        signal.pidfd_send_signal(fd, signum)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)


def is_alive(pid: int, start: int) -> bool:
    """Whether the process with this pid and start time runs. A zombie does not, nor does a reused pid."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        process = look(pid)
        return process is not None and process.start == start and not poll.poll(0)
    finally:
        os.close(fd)
