"""What the kernel tells of the end of processes: how often memory ran out, and what its own log says.

Often neither may be read (a container, an unprivileged user); then there is nothing to tell, and no error.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
LOG = Path("/dev/kmsg")

MOST_RECORDS = 20_000  # read of the log; the kernel keeps fewer
MOST_LINES = 100  # returned, the newest
LONGEST = 1_000  # characters of one line

TELLING = re.compile(
    r"[Oo]ut of memory|oom[-_ ]?kill|oom_reaper|Killed process"
    r"|NVRM: (?:Xid|GPU)|fallen off the bus|segfault at|general protection fault|traps: "
    r"|\bmce: |[Mm]achine [Cc]heck|Hardware Error|EDAC|AER: .*(?:[Uu]ncorrect|[Ff]atal)"
)


def oom_kills(proc: Path | None = None, cgroups: Path | None = None) -> int | None:
    """How often the kernel has ended a process of ours because memory ran out, whoever used it up.

    Counted by our own cgroup, in which our engines live as well; where it does not count, by the machine. A
    number that only grows: it means something by how much. None where neither may be read.
    """
    proc, cgroups = proc or PROC, cgroups or CGROUPS
    counts = (_counted(path, "oom_kill") for path in (*_of_our_cgroup(proc, cgroups), proc / "vmstat"))
    return next((count for count in counts if count is not None), None)


def _of_our_cgroup(proc: Path, cgroups: Path) -> list[Path]:
    """The files that may count: version 2 from our own cgroup upwards, then version 1."""
    paths = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        inside = name.lstrip("/")
        if number == "0" and not controllers:
            folder = cgroups / inside
            paths += [folder / "memory.events", cgroups / "memory.events"]
        elif "memory" in controllers.split(","):
            root = cgroups / "memory"
            paths += [root / inside / "memory.oom_control", root / "memory.oom_control"]
    return paths


def _counted(path: Path, name: str) -> int | None:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def messages(since: float, log: Path | None = None) -> list[str]:
    """The kernel's lines that tell of memory, GPUs and crashes, oldest first, at most MOST_LINES.

    `since` is seconds since boot, as of `time.monotonic()`. Empty where the log may not be read.
    """
    try:
        handle = os.open(log or LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        found = [line for record in _records(handle) if (line := _told(record, since))]
    finally:
        os.close(handle)
    return found[-MOST_LINES:]


def _records(handle: int) -> list[str]:
    """One read gives one record of /dev/kmsg; of a plain file, as tests use it, as many as fit."""
    records: list[str] = []
    rest = b""
    while len(records) < MOST_RECORDS:
        try:
            data = os.read(handle, 8192)
        except BrokenPipeError:  # what was next has been overwritten meanwhile
            continue
        except OSError:
            break
        if not data:
            break
        *whole, rest = (rest + data).split(b"\n")
        records += [line.decode(errors="replace") for line in whole]
        rest = rest[-8192:]
    return records


def _told(record: str, since: float) -> str:
    """The text of `6,1234,98765432,-;text` (Documentation/ABI/testing/dev-kmsg), if it matters."""
    head, found, text = record.partition(";")
    fields = head.split(",")
    if not found or len(fields) < 3 or not fields[2].isdigit() or int(fields[2]) / 1e6 < since:
        return ""
    return text[:LONGEST] if TELLING.search(text) else ""
