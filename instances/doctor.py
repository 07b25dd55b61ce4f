"""What `manage.py doctor` looks at. Each check reads only, and says in a sentence what it found and what to do."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from monitoring.nvml import GpuReader
from monitoring.processes import described

from .launchers import processes
from .launchers.local import LocalLauncher
from .models import Instance, Launch
from .supervisor import ports
from .vllm import engines, own_command

Mark = Literal["ok", "warn", "bad"]
GIB = 2**30
LOW_DISK = 10 * GIB  # bytes; one small model with its caches
FULL_DISK = GIB
LOW_SHM = GIB  # vLLM's processes talk through it
LOW_MEMORY = 2 * GIB
LOW_FILES = 4096  # file descriptors; Docker and old systemd give 1024
LOW_PROCESSES = 4096
VERSION_WITHIN = 120  # seconds; a real vLLM takes 10 to 20


@dataclass(frozen=True)
class Finding:
    mark: Mark
    sentence: str
    advice: str = ""


Check = Callable[[], Iterator[Finding]]


def findings() -> Iterator[tuple[str, Finding]]:
    """All checks, each with its name. A check that fails is a finding itself, so this never raises."""
    for name, check in CHECKS.items():
        try:
            yield from ((name, finding) for finding in check())
        except DatabaseError:
            yield name, Finding("warn", "Not looked at: the database does not answer.")
        except (OSError, ValueError, psutil.Error) as error:  # a broken machine is what this is for
            yield name, Finding("bad", f"This could not be looked at: {error!r}.")


def _engine() -> Iterator[Finding]:
    engine = engines.find()
    if isinstance(engine, engines.Missing):
        yield Finding("bad", engine.reason, engine.mend)
        return
    environment = {name: os.environ[name] for name in own_command.ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(
            [str(engine.path), "--version"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_WITHIN,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("bad", f"{engine.path} does not say its version: {error}.", "Run ./start.sh again.")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Finding("bad", f"{engine.path} does not start: {last}", "Run ./start.sh again.")
    else:
        yield Finding("ok", f"vLLM {engine.version} for {engine.accelerator} answers: {engine.path}.")


def _gpu() -> Iterator[Finding]:
    read = GpuReader().read()
    if not read.gpus:
        advice = "" if read.absent else "Until then models run on the CPU, or not at all."
        yield Finding("ok" if read.absent else "bad", read.reason, advice)
    ours = _pids_of_engines()
    for gpu in read.gpus:
        who = f"GPU {gpu.index} {gpu.name}".strip()
        if gpu.error:
            yield Finding("bad", f"{who}: {gpu.error}", "No model can use it until then.")
            continue
        if gpu.throttle_bad:
            yield Finding("warn", f"{who}: {gpu.throttled}", "Look after its cooling and its power.")
        if gpu.memory_used is None or gpu.memory_total is None:
            yield Finding("ok", f"{who}.")
        else:
            free = _size(gpu.memory_total - gpu.memory_used)
            yield Finding("ok", f"{who}: {free} of {_size(gpu.memory_total)} free.")
        for process in gpu.processes:
            if process.pid not in ours:
                yield Finding(
                    "warn",
                    f"GPU {gpu.index} is also used by {described(process.pid)}, {_size(process.memory or 0)}.",
                    "End it if a model does not fit beside it.",
                )


def _ports() -> Iterator[Finding]:
    address, _, number = settings.LLMOPS_BIND.rpartition(":")
    listeners = _listeners()
    bind = int(number)
    if bind not in listeners:
        yield Finding("ok", f"Port {bind}, where the console belongs, is free.")
    elif _lock_holder() in listeners[bind]:
        yield Finding("ok", f"The console listens on {address}:{bind}.")
    else:
        advice = f"End it, or choose another: LLMOPS_BIND=127.0.0.1:{bind + 1} ./start.sh"
        yield Finding(
            "bad", f"Port {bind} is held by {ports.holder(bind)}, which is no console of this folder.", advice
        )
    span = settings.LAUNCH_PORTS
    taken = [port for port in span if port in listeners]
    free = len(span) - len(taken)
    mark: Mark = "ok" if free > settings.LLMOPS_MAX_INSTANCES else "bad"
    yield Finding(mark, f"{free} of {len(span)} ports for engines are free ({span[0]} to {span[-1]}).")
    ours = _pids_of_engines()
    for port in taken:
        if not listeners[port] & ours:
            yield Finding(
                "warn", f"Port {port} is held by {ports.holder(port)}.", "Engines take other ports."
            )


def _disk() -> Iterator[Finding]:
    folders = {"data": Path(settings.LLMOPS_DATA), "engines": engines.home(os.environ)}
    folders |= {f"models in {root}": Path(root) for root in settings.LLMOPS_MODEL_ROOTS}
    for name, folder in folders.items():
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(there).free
        mark: Mark = "bad" if free < FULL_DISK else "warn" if free < LOW_DISK else "ok"
        advice = "" if mark == "ok" else f"Free some space on the disk of {there}."
        yield Finding(mark, f"{_size(free)} are free for {name}.", advice)
    shared = shutil.disk_usage("/dev/shm")
    if shared.total < LOW_SHM:
        advice = "In a container: start it with --shm-size=2g or --ipc=host."
        yield Finding("warn", f"/dev/shm holds only {_size(shared.total)}; several GPUs need more.", advice)
    else:
        yield Finding("ok", f"/dev/shm holds {_size(shared.total)}.")


def _memory() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    low = memory.available < LOW_MEMORY
    advice = "End other programs before a model is started." if low else ""
    words = f"{_size(memory.available)} of {_size(memory.total)} memory are available."
    yield Finding("warn" if low else "ok", words, advice)


def _database() -> Iterator[Finding]:
    place = settings.DATABASES["default"]
    kind = f"{connection.display_name} {place['NAME']}" + (
        f" on {place['HOST']}" if place.get("HOST") else ""
    )
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError as error:
        words = str(error).partition("\n")[0]
        yield Finding("bad", f"{kind} does not answer: {words}.", "Start it, or correct DATABASE_URL.")
        return
    if missing:
        yield Finding(
            "bad", f"{kind} lacks {missing} migrations.", "./start.sh, or manage.py migrate, makes them."
        )
    else:
        yield Finding("ok", f"{kind} answers, and its tables are as this version needs them.")


def _redis() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        yield Finding("ok", "No REDIS_URL: the console is one process.")
        return
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=3, socket_timeout=3) as client:
            client.ping()
    except redis.RedisError as error:
        yield Finding(
            "bad", f"Redis does not answer: {str(error).rstrip('.')}.", "Start it, or correct REDIS_URL."
        )
    else:
        yield Finding("ok", "Redis answers.")


def _supervisor() -> Iterator[Finding]:
    holder = _lock_holder()
    if holder:
        yield Finding("ok", f"{described(holder)} supervises the engines of {settings.LLMOPS_DATA}.")
        return
    wanted = list(Instance.objects.should_run().values_list("name", flat=True))
    if wanted:
        words = f"Nobody supervises, although these should run: {', '.join(wanted)}."
        yield Finding("bad", words, "Start the console: ./start.sh")
    else:
        yield Finding("ok", "Nobody supervises, and nothing should run.")


def _leftovers() -> Iterator[Finding]:
    found = False
    live = {launch.pk: launch for launch in Launch.objects.live().here().select_related("instance")}
    for ref in LocalLauncher(Path(settings.LLMOPS_DATA) / "launches").running():
        if ref.launch_id not in live and _shim(ref.directory):
            found = True
            known = Launch.objects.filter(pk=ref.launch_id).exists()
            why = "its end was recorded" if known else "the database does not know it"
            yield Finding(
                "warn", f"Launch {ref.launch_id} runs, but {why}.", f"End process {_shim(ref.directory)}."
            )
    for launch in live.values():
        if launch.directory.exists() and not _shim(launch.directory):
            found = True
            words = (
                f"{launch.instance.name} is {launch.state} in the database, but no process of it is there."
            )
            yield Finding("warn", words, "The console finds out within seconds of its start.")
    for path in () if _some_vllm_runs() else sorted(Path("/tmp").glob("vllm_dist_*")):
        if path.stat().st_uid == os.getuid():
            found = True
            yield Finding("warn", f"{path} is left over from an engine.", f"rm -r {path}")
    if not found:
        yield Finding("ok", "Nothing is left over.")


def _limits() -> Iterator[Finding]:
    limits = (("file descriptors", resource.RLIMIT_NOFILE, LOW_FILES, "ulimit -n"),
              ("processes", resource.RLIMIT_NPROC, LOW_PROCESSES, "ulimit -u"))  # fmt: skip
    for name, which, least, command in limits:
        soft, _ = resource.getrlimit(which)
        low = soft != resource.RLIM_INFINITY and soft < least
        shown = "any number of" if soft == resource.RLIM_INFINITY else f"{soft:,}"
        advice = f"Raise it before the start: {command} {least * 4}" if low else ""
        yield Finding("warn" if low else "ok", f"A program may have {shown} {name}.", advice)


CHECKS: dict[str, Check] = {
    "engine": _engine,
    "GPU": _gpu,
    "ports": _ports,
    "disk": _disk,
    "memory": _memory,
    "database": _database,
    "Redis": _redis,
    "supervisor": _supervisor,
    "leftovers": _leftovers,
    "limits": _limits,
}


def _size(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


def _lock_holder() -> int:
    """The pid that holds the data folder's lock, or 0. It is read, never tried: that could get in a start's way."""
    try:
        inode = (Path(settings.LLMOPS_DATA) / "supervisor.lock").stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    for fields in (line.split() for line in lines):
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return 0


def _listeners() -> dict[int, set[int]]:
    """By port: who listens there on this host, as far as this account may know."""
    found: dict[int, set[int]] = {}
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr:
            found.setdefault(one.laddr.port, set()).update({one.pid} if one.pid else ())
    return found


def _pids_of_engines() -> set[int]:
    """Every process of every launch of this data folder; none where the folder is empty."""
    everybody = processes.table()
    folders = (Path(settings.LLMOPS_DATA) / "launches").glob("*/")
    shims = [pid for pid in map(_shim, folders) if pid]
    return {*shims, *(process.pid for process in processes.descendants(shims, everybody))}


def _shim(directory: Path) -> int:
    """The pid of a launch's shim if it lives, or 0."""
    try:
        facts = json.loads((directory / "shim.json").read_bytes())
        pid, start = int(facts["shim"]["pid"]), int(facts["shim"]["start"])
        alive = facts["boot"] == processes.boot_id() and processes.is_alive(pid, start)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return pid if alive else 0


def _some_vllm_runs() -> bool:
    """Ours or not: its files are then in use."""
    return any("vllm" in " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
