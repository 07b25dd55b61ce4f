"""Which vLLM this host has, or a sentence about why it has none.

An installed engine is a folder under `LLMOPS_ENGINES`, named after the hash of its lock file and shared by
every clone of the console. It counts only once its `engine.json` is there, which the installer writes last.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Accelerator = Literal["cpu", "cuda"]

REQUIREMENTS: dict[Accelerator, str] = {
    "cuda": "requirements/engine-cuda.txt",
    "cpu": "requirements/engine-cpu.lock",
}
MARKER = "engine.json"  # the last thing that an installation writes
FAILURE = "failed.json"  # why the last attempt gave up
AGAIN = "Run ./start.sh again; it goes on where it stopped."
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")  # never our own secrets
VERSION_TIMEOUT = 300  # seconds; a real vLLM takes 10 to 20 to say its version, on a busy machine 100


@dataclass(frozen=True)
class Engine:
    """An installed vLLM that can be started."""

    path: Path  # the `vllm` command
    version: str  # as vLLM gives it, such as "0.32.0+cpu"; "unknown" when the command would not say
    accelerator: Accelerator


@dataclass(frozen=True)
class Missing:
    """Why there is no engine, in sentences for the person at the console."""

    reason: str
    mend: str


def find(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> Engine | Missing:
    """The engine to use, without running anything, so that a page may ask every time.

    `LLMOPS_VLLM` wins over what is installed. Only such a command of one's own that has no vLLM metadata
    beside it is run, once, to learn its version; the answer is kept in `LLMOPS_DATA`.
    """
    root = root or ROOT
    if own := environ.get("LLMOPS_VLLM"):
        return _own_command(own, environ, root)
    folders = [folder(accelerator, environ, root) for accelerator in REQUIREMENTS]
    for candidate in folders:
        if engine := read(candidate):
            return engine
    for candidate in folders:
        if os.path.exists(candidate):
            return _why_incomplete(candidate)
    return Missing("No engine is installed yet.", "Run ./start.sh; it installs one.")


def home(environ: Mapping[str, str], root: Path | None = None) -> Path:
    """The folder that holds all installed engines."""
    if given := environ.get("LLMOPS_ENGINES"):
        return (root or ROOT) / Path(given).expanduser()
    data = Path(environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # the XDG specification: unset, empty and relative all mean the default
        data = Path(environ.get("HOME") or Path.home()) / ".local/share"
    return data / "llmops/engines"


def folder(accelerator: Accelerator, environ: Mapping[str, str], root: Path | None = None) -> Path:
    """Where the engine of this clone's lock file belongs; another lock file has another folder."""
    lock = (root or ROOT) / REQUIREMENTS[accelerator]
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return home(environ, root) / f"{accelerator}-{digest[:12]}"


def lock_file(folder: Path) -> Path:
    """The file whose flock is held while the engine of this folder is being installed."""
    return folder.with_name(f"{folder.name}.lock")


def read(folder: Path) -> Engine | None:
    """The engine in a folder, or None unless its installation was finished and its files still stand."""
    facts = _json(folder / MARKER)
    if not facts:
        return None
    engine = Engine(Path(facts["path"]), facts["version"], facts["accelerator"])
    # The environment's `python3` links to the Python that made it, which an upgrade of the system can remove.
    whole = os.access(engine.path, os.X_OK) and os.path.exists(engine.path.with_name("python3"))
    return engine if whole else None


def _why_incomplete(folder: Path) -> Missing:
    if _held(lock_file(folder)):
        return Missing("The engine is being installed right now.", "It is here as soon as that has finished.")
    if failure := _json(folder / FAILURE):
        return Missing(failure["reason"], failure["mend"])
    if (folder / MARKER).exists():
        return Missing(
            "The installed engine no longer runs: its files, or the Python that made it, are gone.",
            "Run ./start.sh again; it installs the engine anew.",
        )
    return Missing("The engine's installation was cut off before it had finished.", AGAIN)


def _held(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, PermissionError):
        return False
    except BlockingIOError:
        return True
    return False


def _own_command(command: str, environ: Mapping[str, str], root: Path) -> Engine | Missing:
    mend = "Correct LLMOPS_VLLM, or unset it to have ./start.sh install an engine."
    given = os.path.expanduser(command)
    found = shutil.which(given, path=environ.get("PATH"))
    if not found:
        fault = "cannot be executed" if os.path.exists(given) else "does not exist"
        return Missing(f"LLMOPS_VLLM names {command}, which {fault}.", mend)
    path = Path(found).absolute()
    version = _version_beside(path) or _version_told(path, environ, root)
    return Engine(path, version, "cpu" if "+cpu" in version else "cuda")


def _version_beside(path: Path) -> str | None:
    """The version by the package metadata of the environment that the command stands in, if there is one."""
    prefix = path.resolve().parent.parent
    for metadata in sorted(prefix.glob("lib/python*/site-packages/vllm-*.dist-info")):
        version = metadata.name.removeprefix("vllm-").removesuffix(".dist-info")
        on_cpu = any(metadata.parent.glob("torch-*+cpu.dist-info")) and "+" not in version
        return f"{version}+cpu" if on_cpu else version
    return None


def _version_told(path: Path, environ: Mapping[str, str], root: Path) -> str:
    """What the command says of itself: it is run once, and again only after it changed."""
    data = root / (environ.get("LLMOPS_DATA") or "var")
    kept = data / "engine-version.json"
    known = _json(kept)
    key = f"{path} {path.stat().st_mtime_ns}"
    if key in known:
        return str(known[key])
    version = _ask_version(path, environ) or "unknown"
    data.mkdir(parents=True, exist_ok=True)
    write_json(kept, {key: version})
    return version


def _ask_version(path: Path, environ: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT,
            env={name: environ[name] for name in ENVIRONMENT if name in environ},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = done.stdout.split()
    return words[-1] if words else None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write all of it or nothing: a reader never meets half a file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(path)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):  # absent, out of reach, or cut off in the middle: all mean "not there"
        return {}
    return content if isinstance(content, dict) else {}
