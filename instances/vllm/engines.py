"""Which vLLMs this host has, or a sentence about why there is none. Nothing here runs one, so any page may ask.

An installed engine is a folder under `LLMOPS_ENGINES`, shared by every clone of the console: named after the hash of
its lock file (what ./start.sh installs) or after its version (what a person chose), as in `cpu-0.31.0`. It counts only
once its `engine.json` is there, which the installer writes last.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from instances.vllm import json_files, own_command

Accelerator = Literal["cpu", "cuda"]

REQUIREMENTS: dict[Accelerator, str] = {
    "cuda": "requirements/engine-cuda.txt",
    "cpu": "requirements/engine-cpu.lock",
}
MARKER = "engine.json"  # the last thing that an installation writes
FAILURE = "failed.json"  # why the last attempt gave up
OWN = "own"  # the slug of LLMOPS_VLLM
AGAIN = "Run ./start.sh again; it goes on where it stopped."
TRY_AGAIN = "Try again; it goes on where it stopped."
ROOT = Path(__file__).resolve().parents[2]
SLUG = re.compile(r"(cpu|cuda)-(\S+)")
CHOSEN = re.compile(r"(?:cpu|cuda)-(\d+\.\d\S*)")  # a hash has no dot


@dataclass(frozen=True)
class Engine:
    """An installed vLLM that can be started."""

    path: Path  # the `vllm` command
    version: str  # as vLLM gives it, such as "0.32.0+cpu"; "unknown" when the command would not say
    accelerator: Accelerator
    slug: str = field(default=OWN, compare=False)  # its folder's name
    asking: bool = field(default=False, compare=False)  # it is being asked for its version right now

    @property
    def python(self) -> Path | None:
        """The interpreter of its environment; None where that is not known, as for a wrapper script."""
        return _interpreter(self.path) or (None if self.slug == OWN else self.path.with_name("python3"))

    @property
    def plain_version(self) -> str:
        """Without what follows the plus."""
        return self.version.partition("+")[0]


@dataclass(frozen=True)
class Missing:
    """Why there is no engine, in sentences for the person at the console."""

    reason: str
    mend: str


@dataclass(frozen=True)
class Found:
    """A place for an engine: it works, or it is missing for a reason."""

    slug: str
    path: Path  # its folder, or the command of one's own
    version: str  # as far as it is known without running anything
    accelerator: Accelerator
    engine: Engine | None
    missing: Missing | None
    installing: bool = False
    removable: bool = False  # a person chose it, so a person may remove it
    default: bool = False  # what an instance runs on that names no engine


def find(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> Engine | Missing:
    """The engine of an instance that names none: `LLMOPS_VLLM`, or what ./start.sh installed.

    Where ./start.sh was told to install none, the newest one that a person chose.
    """
    root = root or ROOT
    if command := environ.get("LLMOPS_VLLM"):
        return _own(command, environ, root)
    folders = [folder(accelerator, environ, root) for accelerator in REQUIREMENTS]
    for candidate in folders:
        if engine := read(candidate):
            return engine
    for candidate in folders:
        if os.path.exists(candidate):
            return why_incomplete(candidate)
    chosen = [engine for name in _names(environ, root) if (engine := _chosen(home(environ, root) / name))]
    if chosen:
        return max(chosen, key=lambda engine: version_key(engine.version))
    return Missing("No engine is installed yet.", "Run ./start.sh; it installs one.")


def every(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> list[Found]:
    """All engines of this host and those that are missing for a reason; the default one first, then the newest."""
    found = {one.slug: one for one in _all(environ, root or ROOT)}
    default = find(environ, root)
    if isinstance(default, Engine):
        known = found.get(default.slug)
        found[default.slug] = _found(known.path if known else default.path, default, is_default=True)
    ranks = {slug: (one.default, version_key(one.version), slug) for slug, one in found.items()}
    return [found[slug] for slug in sorted(found, key=lambda slug: ranks[slug], reverse=True)]


def choose(
    name: str | None = None, environ: Mapping[str, str] = os.environ, root: Path | None = None
) -> Engine | Missing:
    """The engine that a configuration names by version, slug or path; without a name the default one."""
    if not name:
        return find(environ, root)
    known = every(environ, root)
    meant = named(name, known)
    if meant and (outcome := meant.engine or meant.missing):
        return outcome
    working = [one.engine for one in known if one.engine]
    if not working:
        return Missing(
            f"There is no engine {name} on this host, nor any other.", "Run ./start.sh; it installs one."
        )
    return Missing(f"There is no engine {name} on this host.", f"Choose another one: {listed(working)}.")


def named(name: str | None, known: list[Found]) -> Found | None:
    """What a configuration's `engine` means among `every`: one that works before one that does not."""
    if not name:
        return next((one for one in known if one.default), None)
    meant = [one for one in known if name in (one.slug, str(one.path), _path_of(one))]
    meant = meant or [one for one in known if name in (one.version, one.version.partition("+")[0])]
    return next((one for one in meant if one.engine), meant[0] if meant else None)


def choices(environ: Mapping[str, str] = os.environ, root: Path | None = None) -> list[tuple[str, Engine]]:
    """The engines that work, each with the name under which a configuration keeps it."""
    working = [one.engine for one in every(environ, root) if one.engine]
    return [(name_of(engine, working), engine) for engine in working]


def name_of(engine: Engine, among: list[Engine]) -> str:
    """What a configuration keeps: the version, or the slug where another engine has the same one."""
    shared = sum(one.version == engine.version for one in among) > 1 or engine.version == own_command.UNKNOWN
    return engine.slug if shared else engine.version


def listed(working: list[Engine]) -> str:
    return ", ".join(name_of(engine, working) for engine in working)


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
    facts = json_files.read(folder / MARKER)
    if not facts:
        return None
    engine = Engine(Path(facts["path"]), facts["version"], facts["accelerator"], folder.name)
    # The environment's `python3` links to the Python that made it, which an upgrade of the system can remove.
    whole = os.access(engine.path, os.X_OK) and os.path.exists(engine.path.with_name("python3"))
    return engine if whole else None


def why_incomplete(folder: Path) -> Missing:
    """Why `read` finds no engine in a folder that is there."""
    chosen = CHOSEN.fullmatch(folder.name)
    if held(lock_file(folder)):
        return Missing("The engine is being installed right now.", "It is here as soon as that has finished.")
    if failure := json_files.read(folder / FAILURE):
        return Missing(failure["reason"], failure["mend"])
    if (folder / MARKER).exists():
        anew = "Install it again." if chosen else "Run ./start.sh again; it installs the engine anew."
        return Missing(
            "The installed engine no longer runs: its files, or the Python that made it, are gone.", anew
        )
    return Missing(
        "The engine's installation was cut off before it had finished.", TRY_AGAIN if chosen else AGAIN
    )


def held(path: Path) -> bool:
    """Whether somebody holds this lock file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, PermissionError):
        return False
    except BlockingIOError:
        return True
    return False


def version_key(version: str) -> tuple[int, ...]:
    """For sorting: the numbers of a version, one that is not known first."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:6])


def _own(command: str, environ: Mapping[str, str], root: Path) -> Engine | Missing:
    found = own_command.find(command, environ, root / (environ.get("LLMOPS_DATA") or "var"))
    if isinstance(found, str):
        mend = "Correct LLMOPS_VLLM, or unset it to have ./start.sh install an engine."
        return Missing(f"LLMOPS_VLLM names {command}, which {found}.", mend)
    accelerator: Accelerator = "cpu" if "+cpu" in found.version else "cuda"
    version = found.version or own_command.UNKNOWN
    return Engine(found.path, version, accelerator, OWN, asking=not found.version)


def _all(environ: Mapping[str, str], root: Path) -> Iterator[Found]:
    if command := environ.get("LLMOPS_VLLM"):
        yield _found(Path(command), _own(command, environ, root))
    for name in _names(environ, root):
        place = home(environ, root) / name
        yield _found(place, read(place) or why_incomplete(place))


def _names(environ: Mapping[str, str], root: Path) -> list[str]:
    """Of the folders of engines, also of those whose installation has only just begun."""
    try:
        with os.scandir(home(environ, root)) as entries:
            there = [(entry.name, entry.is_dir()) for entry in entries if SLUG.fullmatch(entry.name)]
    except OSError:  # absent, or out of reach
        return []
    names = {name for name, is_folder in there if is_folder}
    locks = {
        name.removesuffix(".lock") for name, is_folder in there if not is_folder and name.endswith(".lock")
    }
    return sorted(names | {name for name in locks - names if held(home(environ, root) / f"{name}.lock")})


def _found(place: Path, outcome: Engine | Missing, *, is_default: bool = False) -> Found:
    if isinstance(outcome, Engine):
        facts = (outcome.slug, place, outcome.version, outcome.accelerator, outcome, None)
        removable = CHOSEN.fullmatch(outcome.slug) is not None
        return Found(*facts, held(lock_file(place)) if removable else False, removable, is_default)
    match = SLUG.fullmatch(place.name)
    chosen = CHOSEN.fullmatch(place.name)
    version = json_files.read(place / MARKER).get("version") or (chosen[1] if chosen else "")
    accelerator: Accelerator = "cpu" if match and match[1] == "cpu" else "cuda"
    slug = place.name if match else OWN
    return Found(slug, place, version, accelerator, None, outcome, held(lock_file(place)), chosen is not None)


def _chosen(place: Path) -> Engine | None:
    return read(place) if CHOSEN.fullmatch(place.name) else None


def _path_of(one: Found) -> str:
    return str(one.engine.path) if one.engine else ""


def _interpreter(command: Path) -> Path | None:
    """The Python by the first line of a script, or by the second where pip found the first too long."""
    try:
        with command.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return None
    found = re.match(rb"#!(/[^\n ]*/python[\d.]*)\s*\n", start)
    found = found or re.match(rb"""#!/bin/sh\n'''exec' "?(/[^\n"]*/python[\d.]*)"? """, start)
    path = Path(os.fsdecode(found[1])) if found else None
    return path if path and os.access(path, os.X_OK) else None
