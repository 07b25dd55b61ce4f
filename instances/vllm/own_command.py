"""A vLLM of the operator's own, named by `LLMOPS_VLLM`: where it is and which version it has.

Only a command that has no vLLM metadata beside it is run to learn its version, in the background, for that can take
minutes. The answer is kept in `LLMOPS_DATA` until the command changes.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from instances.vllm import json_files

ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")  # never our own secrets
WITHIN = 300  # seconds; a real vLLM takes 10 to 20 to say its version, on a busy machine 100
UNKNOWN = "unknown"

_asking: dict[str, threading.Thread] = {}  # by command and its time
_silent: set[str] = set()  # commands that would not say; the next process asks them again
_guard = threading.Lock()


@dataclass(frozen=True)
class OwnCommand:
    """A command that can be executed."""

    path: Path
    version: str  # "unknown" when it would not say; empty while it is being asked


def find(command: str, environ: Mapping[str, str], data: Path) -> OwnCommand | str:
    """The command, or what is wrong with it. Waits for nothing."""
    given = os.path.expanduser(command)
    found = shutil.which(given, path=environ.get("PATH"))
    if not found:
        return "cannot be executed" if os.path.exists(given) else "does not exist"
    path = Path(found).absolute()
    return OwnCommand(path, _version_beside(path) or _version_told(path, environ, data))


def wait() -> None:
    """Until all that are being asked have answered; for programs that have nothing else to do."""
    for thread in list(_asking.values()):
        thread.join()


def _version_beside(path: Path) -> str:
    """The version by the package metadata of the environment that the command stands in, if there is one."""
    prefix = path.resolve().parent.parent
    for metadata in sorted(prefix.glob("lib/python*/site-packages/vllm-*.dist-info")):
        version = metadata.name.removeprefix("vllm-").removesuffix(".dist-info")
        on_cpu = any(metadata.parent.glob("torch-*+cpu.dist-info")) and "+" not in version
        return f"{version}+cpu" if on_cpu else version
    return ""


def _version_told(path: Path, environ: Mapping[str, str], data: Path) -> str:
    """What the command said of itself: it is asked once, and again only after it changed."""
    kept = data / "engine-version.json"
    key = f"{path} {path.stat().st_mtime_ns}"
    with _guard:
        if known := json_files.read(kept).get(key):
            return str(known)
        if key in _silent:
            return UNKNOWN
        if key not in _asking:
            _asking[key] = threading.Thread(target=_ask, args=(key, path, dict(environ), kept), daemon=True)
            _asking[key].start()
    return ""


def _ask(key: str, path: Path, environ: Mapping[str, str], kept: Path) -> None:
    version = _answer(path, environ)
    try:
        if version:
            kept.parent.mkdir(parents=True, exist_ok=True)
            json_files.write(kept, {key: version})
    except OSError:  # it cannot be kept, so that nobody would find it
        version = ""
    with _guard:
        if not version:
            _silent.add(key)
        del _asking[key]


def _answer(path: Path, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            env={name: environ[name] for name in ENVIRONMENT if name in environ},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    words = done.stdout.split()
    return words[-1] if words else ""
