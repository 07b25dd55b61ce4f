"""The machine: its memory, disk, ports and limits."""

from __future__ import annotations

from typing import Any

from .cause import Cause, Groups


def _cpu_cache(groups: Groups) -> dict[str, Any] | None:
    """A KV cache of four fifths of what is free."""
    room = float(groups["free"]) * 0.8
    size = f"{int(room)}G" if room >= 1 else f"{int(room * 1024)}M"
    return {"args": {"kv-cache-memory-bytes": size}} if room >= 0.05 else None


def _port(groups: Groups) -> dict[str, str]:
    return {"port_words": f"Port {groups['port']}" if groups.get("port") else "The port"}


MACHINE: tuple[Cause, ...] = (
    Cause(
        "cpu-memory",
        (
            r"Available memory on node \S+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on (?:kv cache allocation|"
            r"startup) is less than (?:requested memory for kv|desired CPU memory utilization) "
            r"\((?:[\d.]+, )?(?P<need>[\d.]+)",
        ),
        "The engine wants {need} GiB of the machine's memory, and {free} of {total} GiB are free.",
        "Set a smaller KV cache (kv-cache-memory-bytes), or stop what else uses the memory.",
        derive=lambda groups: dict(groups),
        change=_cpu_cache,
    ),
    Cause(
        "host-memory",
        (
            r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes",
            r"Cannot allocate memory",
            r"\[Errno 12\]",
            r"^(?:[\w.]+\.)?_?(?:Array)?MemoryError\b",
            r"Out of memory: Killed process",
            r"[Mm]emory cgroup out of memory",
            r"std::bad_alloc",
            r"node running low on memory|ray\.exceptions\.OutOfMemoryError",
            r"killed by the OOM killer|Failed with result 'oom-kill'",
            r"Reason:\s+OOMKilled|\"?OOMKilled\"?: true",
            r"[Nn]ot enough (?:CPU |host |system |available )?memory",
        ),
        "The machine's memory (RAM) ran out.",
        "Choose a smaller model or a smaller KV cache, or stop what else uses the memory.",
    ),
    Cause(
        "inner-port-in-use",
        (
            r"server socket has failed to (?:listen|bind).*(?:EADDRINUSE|in use)",
            r"EADDRINUSE.*(?:TCPStore|server socket)|TCPStore.*EADDRINUSE",
        ),
        "A port that the engine's processes talk over was just taken by another program.",
        "Start it again: it takes another one.",
    ),
    Cause(
        "port-in-use",
        (
            r"bind on address \('[^']*', (?P<port>\d+)[^)]*\)",
            r"[Pp]ort (?P<port>\d+) is already in use",
            r"\[Errno 98\]",
            r"EADDRINUSE|[Aa]ddress already in use",
        ),
        "{port_words} is already in use by another program.",
        "Leave the port empty, or choose another one.",
        derive=_port,
        change={"port": None},
    ),
    Cause(
        "address-not-here",
        (r"\[Errno 99\]|Cannot assign requested address",),
        "The address that the engine was to listen on is not one of this machine.",
        "Take out the flag or the variable (VLLM_HOST_IP) that names it.",
        final=True,
    ),
    Cause(
        "disk-full",
        (
            r"No space left on device(?: \(os error \d+\))?(?:: '(?P<path>[^']+)')?",
            r"\[Errno 28\]",
            r"Disk quota exceeded(?:: '(?P<path>[^']+)')?",
            r"\[Errno 122\]",
        ),
        "The disk is full: {path}.",
        "Free some space; models, caches and logs lie in the data folder and in the Hugging Face cache.",
    ),
    Cause(
        "not-writable",
        (
            r"Read-only file system(?:: '(?P<path>[^']+)')?",
            r"\[Errno 30\]",
        ),
        "The engine cannot write there, the disk is read-only: {path}.",
        "Point HF_HOME, and the data folder, to a place that can be written.",
        final=True,
        at_once=True,
    ),
    Cause(
        "disk-broken",
        (r"\[Errno (?:5|116)\]|Input/output error|Stale file handle",),
        "A file could not be read from the disk or the network drive.",
        "Look at the disk's health, or mount the network drive again.",
    ),
    Cause(
        "permission-denied",
        (
            r"Permission denied(?:: ['\"](?P<path>[^'\"]+)['\"])?",
            r"PermissionError at (?P<path>\S+) when",
            r"\[Errno 13\]",
        ),
        "The console's user may not use what the engine needs: {path}.",
        "Give that user the rights to it, or choose another place.",
        final=True,
        at_once=True,
    ),
    Cause(
        "too-many-files",
        (r"\[Errno 24\]|Too many open files",),
        "The engine was not allowed to open more files.",
        "Raise the limit (ulimit -n) of the console's user.",
    ),
    Cause(
        "too-many-processes",
        (
            r"BlockingIOError: \[Errno 11\]",
            r"can't start new thread",
            r"pthread_create failed|Thread creation failed",
            r"Resource temporarily unavailable",
        ),
        "The engine was not allowed to start more processes or threads.",
        "Raise the limit (ulimit -u, or the container's) or end other programs.",
        at_once=True,
    ),
)
