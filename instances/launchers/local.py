"""Engines on this host: one shim per launch, found again by what it wrote into the launch directory."""

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from instances.launchers import processes
from instances.launchers.base import (
    HOST_RESTARTED,
    Exit,
    LaunchError,
    LaunchSpec,
    Observation,
    Ref,
)

KEEP_HEAP = {  # glibc gives every buffer back and fetches it again without this: twice the CPU under a flood
    "MALLOC_TRIM_THRESHOLD_": "2097152",
    "MALLOC_MMAP_THRESHOLD_": "2097152",
}
SHIM = Path(__file__).with_name("shim.py")
PATIENCE = 10.0  # seconds from the hand-over until a shim that has written nothing is given up
SHIM_KILLED = "its supervisor process (the shim) was killed"
NOT_BEGUN = "its supervisor process (the shim) ended before the engine could be started"
UNKNOWN = "this host knows nothing of the launch"


@dataclass(frozen=True)
class _Identity:
    """Who is who in one launch, as its shim wrote it: pid and start time each."""

    boot: str
    shim: tuple[int, int]
    engine: tuple[int, int] | None
    pipe: int | None  # inode of the pipe that the tree writes to


class LocalLauncher:
    """Launcher for this host. What matters stands in the launch directories under `root`, not in here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shims: dict[int, int] = {}  # launch id -> pid of a shim that is our child: to be collected
        self._gone: set[int] = set()  # launch ids whose shim was our child and has ended

    def start(self, spec: LaunchSpec) -> Ref:
        ref = Ref(spec.launch_id, spec.directory.absolute())
        for launch_id in list(self._shims):
            self._collect(launch_id)
        if ref.launch_id in self._shims or _has_begun(ref.directory):
            return ref
        kept = {
            "launch_id": spec.launch_id,
            "argv": spec.argv,
            "env": dict(spec.env),
            "log_cap": spec.log_cap,
        }
        try:
            ref.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(ref.directory / "spec.json", json.dumps(kept))
            self._shims[ref.launch_id] = _spawn_shim(ref.directory)  # it refuses if there is another one
        except OSError as error:
            raise LaunchError(
                f"This host could not take launch {spec.launch_id}: {error.strerror}."
            ) from error
        return ref

    def running(self) -> list[Ref]:
        if not self.root.is_dir():
            return []
        refs = [Ref(int(path.name), path) for path in self.root.iterdir() if path.name.isdecimal()]
        return [ref for ref in sorted(refs, key=lambda ref: ref.launch_id) if _is_open(ref.directory)]

    def observe(self, ref: Ref) -> Observation:
        self._collect(ref.launch_id)
        identity = _identity(ref.directory)
        if (
            identity is not None
            and identity.boot == processes.boot_id()
            and processes.is_alive(*identity.shim)
        ):
            exit_ = _exit(ref.directory)  # it may have written it and be about to leave
            return Observation(exit_ is None, _pid(identity), exit_, False, keeper=identity.shim[0])
        exit_ = _exit(ref.directory)
        if exit_ is not None:
            return Observation(False, _pid(identity), exit_, False)
        reason = _lost(ref.directory)
        if reason:
            return Observation(False, _pid(identity), None, True, reason)
        if identity is None:
            return self._observe_beginning(ref)
        if identity.boot != processes.boot_id():
            return _lose(ref, identity, HOST_RESTARTED)
        if _sweep(identity, ref.directory):
            return Observation(True, _pid(identity), None, False, f"{SHIM_KILLED}; ending what is left of it")
        return _lose(ref, identity, SHIM_KILLED)

    def stop(self, ref: Ref, grace: float) -> None:
        if not ref.directory.is_dir():
            return
        full = False
        try:
            # Before we look who is there: a shim that begins reads it after it has said so.
            _bring_forward(ref.directory / "stop", time.monotonic() + max(0.0, grace))
        except OSError:
            full = True
        identity = _identity(ref.directory)
        if identity is None or identity.boot != processes.boot_id():
            return
        if full and grace <= 0 and identity.engine is not None:
            processes.send(*identity.engine, signal.SIGKILL)  # the shim sees it and ends the rest
        processes.send(*identity.shim, signal.SIGTERM)
        processes.send(*identity.shim, signal.SIGCONT)  # one that somebody has suspended could not obey

    def kill(self, ref: Ref) -> None:
        self.stop(ref, 0.0)

    def _collect(self, launch_id: int) -> None:
        """Collect the launch's shim if it is ours and has ended, so that it stays no zombie."""
        if launch_id not in self._shims:
            return
        with suppress(ChildProcessError):
            if os.waitpid(self._shims[launch_id], os.WNOHANG) == (0, 0):
                return
        del self._shims[launch_id]
        self._gone.add(launch_id)

    def _observe_beginning(self, ref: Ref) -> Observation:
        """A launch whose shim has not said who it is: wait a little, then make sure that it never will."""
        beginning = Observation(True, None, None, False)
        try:
            age = time.time() - (ref.directory / "spec.json").stat().st_mtime
        except FileNotFoundError:
            return Observation(False, None, None, True, UNKNOWN)
        if ref.launch_id in self._shims or (ref.launch_id not in self._gone and abs(age) < PATIENCE):
            return beginning
        lock = os.open(ref.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return beginning
        else:
            if _identity(ref.directory) or _lost(ref.directory):
                return beginning  # it came between; the next look sees it
            # Under the lock: a shim that comes now finds the mark and refuses.
            return _lose(ref, None, NOT_BEGUN)
        finally:
            os.close(lock)


def _spawn_shim(directory: Path) -> int:
    """Start the shim of this launch in a session of its own, with nothing of ours; returns its pid."""
    null = os.devnull
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-X", "utf8", str(SHIM), str(directory)],
        KEEP_HEAP | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
        ],
        setsid=True,
        setsigmask=[signal.SIGTERM],  # until the shim is ready for it
    )


def _sweep(identity: _Identity, directory: Path) -> list[int]:
    """Kill what a dead shim has left; returns the pids that still live. Nobody else's process is touched.

    Ours are the main process by its pid and start time, whoever writes to the launch's pipe, the main
    process's session, and all descendants of those. While the main process is gone its session's number may
    have come to mean another one, so members then count only if they also work in the launch directory.
    """
    if identity.engine is None:
        return []
    main, began = identity.engine
    everybody = processes.table()
    leader = everybody.get(main)
    led = leader is not None and leader.start == began
    roots = [
        process.pid
        for process in everybody.values()
        if process.start >= began
        and (
            (led and main in (process.pid, process.session))
            or _writes_to(process.pid, identity.pipe)
            or (leader is None and process.session == main and _works_in(process.pid, directory))
        )
    ]
    ours = {pid: everybody[pid] for pid in roots}
    ours.update({process.pid: process for process in processes.descendants(roots, everybody)})
    alive = [process for process in ours.values() if not process.ended]
    for process in alive:
        with suppress(PermissionError):
            processes.send(process.pid, process.start, signal.SIGKILL)
    return [process.pid for process in alive]


def _writes_to(pid: int, pipe: int | None) -> bool:
    links = (_link(f"/proc/{pid}/fd/{number}") for number in (1, 2))
    return pipe is not None and f"pipe:[{pipe}]" in links


def _works_in(pid: int, directory: Path) -> bool:
    return _link(f"/proc/{pid}/cwd") == str(directory.resolve())


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # it has ended, or is another user's
        return ""


def _write(path: Path, text: str) -> None:
    """Put a private file in place in one piece."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    new.rename(path)


def _bring_forward(path: Path, at: float) -> None:
    """Write down when all is to be killed, by the monotonic clock, unless an earlier time stands there."""
    with suppress(FileNotFoundError):
        if float(path.read_text()) <= at:
            return
    _write(path, str(at))


def _read(path: Path) -> dict[str, object] | None:
    """A JSON object, or None while it is not there or not written yet."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not text.startswith(b"{"):  # the room for it alone
        return None
    found = json.loads(text)
    return found if isinstance(found, dict) else None


def _identity(directory: Path) -> _Identity | None:
    found = _read(directory / "shim.json")
    if found is None:
        return None
    shim, engine = _pair(found["shim"]), _pair(found["engine"])
    assert shim is not None
    pipe = found["pipe"]
    return _Identity(str(found["boot"]), shim, engine, pipe if isinstance(pipe, int) else None)


def _pair(found: object) -> tuple[int, int] | None:
    return (int(found["pid"]), int(found["start"])) if isinstance(found, dict) else None


def _pid(identity: _Identity | None) -> int | None:
    return identity.engine[0] if identity is not None and identity.engine is not None else None


def _exit(directory: Path) -> Exit | None:
    found = _read(directory / "exit.json")
    if found is None:
        return None
    code, signum, unswept = found["code"], found["signal"], found["unswept"]
    return Exit(
        code if isinstance(code, int) else None,
        signum if isinstance(signum, int) else None,
        datetime.fromisoformat(str(found["at"])),
        str(found["spawn_error"]),
        tuple(unswept) if isinstance(unswept, list) else (),
    )


def _lost(directory: Path) -> str:
    """Why the launch was found lost, once that has been settled; else an empty string."""
    found = _read(directory / "lost.json")
    return str(found["reason"]) if found is not None else ""


def _lose(ref: Ref, identity: _Identity | None, reason: str) -> Observation:
    """Settle that a launch is lost: the mark keeps it so for later looks and for a shim that comes late."""
    with suppress(OSError):  # a full disk: the next look comes to the same end
        _write(ref.directory / "lost.json", json.dumps({"reason": reason}))
    return Observation(False, _pid(identity), None, True, reason)


def _is_open(directory: Path) -> bool:
    """Whether it was begun and no end of it is known. What cannot be read is no launch of ours."""
    try:
        begun = (directory / "spec.json").exists()
        return begun and _exit(directory) is None and not _lost(directory)
    except (OSError, ValueError, LookupError):
        return False


def _has_begun(directory: Path) -> bool:
    return any((directory / name).exists() for name in ("shim.json", "lost.json"))
