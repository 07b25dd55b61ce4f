"""Which models are on this machine: in the model roots and in the Hugging Face cache.

Nothing of a model is run, its weights are not read but for the headers. Other programs write there, so no tree is
too odd: what cannot be read is as if it were not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from instances.vllm.fit import tensors
from instances.vllm.fit.architecture import facts_of
from instances.vllm.fit.parameters import parameters_of
from instances.vllm.fit.quantization import quantization_of
from instances.vllm.fit.values import mapping, words

from . import cache as hub_cache
from . import tasks
from .origins import origin_of
from .tasks import Task

Where = Literal["cache", "root", "modelscope", "package"]
WHERE: dict[str, Where] = {"modelscope": "modelscope", "package": "package"}

DEPTH = 6  # folders below a root
FOLDERS = 20_000  # looked into, of one root
ENTRIES = 5_000  # of one folder
JSON_LIMIT = 5 * 2**20  # bytes
KEPT = 2_000  # models remembered


@dataclass(frozen=True)
class Here:
    """One model on this machine."""

    model: str  # as a deploy form takes it: a hub id, or an absolute path
    folder: Path
    where: Where
    revision: str  # the commit, of one in the cache; else empty
    architecture: str  # as LlamaForCausalLM, or empty
    parameters: int | None
    dtype: str
    quantization: str
    task: Task
    size: int  # bytes on the disk, each file counted once
    missing: str  # what it lacks to be served, in a few words; empty when it is complete
    branch: str = ""  # of one in the cache: what a launch must ask for, where it is not `main`


@dataclass(frozen=True)
class _Facts:
    """What the files of one folder say."""

    architecture: str = ""
    parameters: int | None = None
    dtype: str = ""
    quantization: str = ""
    task: Task = "unknown"


_known: dict[tuple[object, ...], _Facts] = {}  # by the folder, and the names, times and sizes of its files


def scan(roots: Iterable[Path], cache: Path | None) -> list[Here]:
    """By name. The cache may be one of the roots; a model is listed once."""
    found: dict[Path, Here] = {}
    hub = _real(cache) if cache else None
    if hub is not None:
        for storage in _folders(hub):
            if storage.name.startswith("models--") and (here := _cached(storage)):
                found[storage] = here
    for root in roots:
        if (real := _real(root)) is not None and real != hub:
            for folder, names in _models(real, hub):
                found.setdefault(folder, _in_root(folder, names, real))
    return sorted(found.values(), key=lambda here: (here.model.lower(), here.revision))


# ---------------------------------------------------------------- the Hugging Face cache


def _cached(storage: Path) -> Here | None:
    """One row a model, whatever number of its revisions is there: the one of `main`, else the best."""
    model = storage.name.removeprefix("models--").replace("--", "/")
    commits = _folders(storage / "snapshots")
    size = _size(storage)
    if not commits:
        return (
            Here(model, storage, "cache", "", "", None, "", "", "unknown", size, "its files")
            if size
            else None
        )
    main = hub_cache.commit_of(storage, "main")
    lacks = {commit: hub_cache.missing(commit) for commit in commits}
    folder = min(commits, key=lambda one: (lacks[one] != "", one.name != main, one.name))
    missing = _missing(folder, lacks[folder])
    if missing and any(name.endswith(".incomplete") for name in _names(storage / "blobs")):
        missing = "the end of its download"
    facts = _facts(folder, model)
    branch = "" if folder.name == main else folder.name
    return Here(
        model,
        folder,
        "cache",
        folder.name,
        facts.architecture,
        facts.parameters,
        facts.dtype,
        facts.quantization,
        facts.task,
        size,
        missing,
        branch,
    )


# ---------------------------------------------------------------- the roots


def _models(root: Path, hub: Path | None) -> Iterator[tuple[Path, set[str]]]:
    """Folders that hold a model. Links to folders are not followed: they lead in circles, or out of the root."""
    waiting = [(root, 0)]
    seen = 0
    while waiting and seen < FOLDERS:
        folder, depth = waiting.pop()
        seen += 1
        names = _names(folder)
        if _is_model(folder, names):
            yield folder, names
        elif depth < DEPTH and "model_index.json" not in names:  # which is a picture model, of several parts
            waiting += [(one, depth + 1) for one in _folders(folder) if one != hub]


def _is_model(folder: Path, names: set[str]) -> bool:
    if "adapter_config.json" in names or any(name.endswith((".gguf", ".safetensors")) for name in names):
        return True
    if "params.json" in names and any(name.startswith("consolidated") for name in names):
        return True
    config = _json(folder / "config.json") if "config.json" in names else {}
    return "architectures" in config or "model_type" in config


def _in_root(folder: Path, names: set[str], root: Path) -> Here:
    facts = _facts(folder, folder.name)
    return Here(
        str(folder),
        folder,
        WHERE.get(origin_of(str(folder), root).kind, "root"),
        "",
        facts.architecture,
        facts.parameters,
        facts.dtype,
        facts.quantization,
        facts.task,
        _size(folder),
        _missing(folder, hub_cache.missing(folder)),
    )


# ---------------------------------------------------------------- one folder


def _missing(folder: Path, missing: str) -> str:
    """What a folder lacks, with a word for what it is where that is something else than a model."""
    names = _names(folder)
    if not missing:
        return ""
    if "adapter_config.json" in names and "config.json" not in names:
        base = _json(folder / "adapter_config.json").get("base_model_name_or_path")
        of = f" {base[:200]}" if isinstance(base, str) and base.isprintable() else ""
        return f"its base model{of}: it is an adapter"
    if missing in ("weights", "config.json") and any(name.endswith(".gguf") for name in names):
        return "weights in safetensors: vLLM does not read GGUF"
    return missing


def _facts(folder: Path, name: str) -> _Facts:
    """Remembered for as long as its files stay as they are."""
    files = _files(folder)
    key = (folder, name, tuple(sorted((path.name, stat.st_mtime_ns, stat.st_size) for path, stat in files)))
    if key not in _known:
        if len(_known) >= KEPT:
            _known.clear()
        _known[key] = _read(
            folder, name, {path.name for path, _ in files} | {one.name for one in _folders(folder)}
        )
    return _known[key]


def _read(folder: Path, name: str, names: set[str]) -> _Facts:
    config = _json(folder / "config.json") or _json(folder / "params.json")
    architecture = next(iter(words(config.get("architectures"))), "")[:100]
    weights = tensors.read(folder)
    quantization = quantization_of(config) or quantization_of(mapping(config.get("text_config")))
    shape = facts_of(config) if config else None
    parameters = (
        weights.parameters if weights and not quantization else None
    )  # packed numbers are not counted
    if not parameters and shape is not None:
        parameters = parameters_of(shape).loaded
    if quantization is None and "adapter_config.json" not in names and _is_gguf(names):
        return _Facts(architecture, None, "", "gguf", tasks.of_files(name, architecture, config, names))
    return _Facts(
        architecture,
        parameters or None,
        shape.dtype if shape else "",
        quantization.method if quantization else "",
        tasks.of_files(name, architecture, config, names),
    )


def _is_gguf(names: set[str]) -> bool:
    return any(name.endswith(".gguf") for name in names) and not any(
        name.endswith((".safetensors", ".bin")) for name in names
    )


def _size(folder: Path) -> int:
    """Bytes on the disk of a folder and all below it, each file once, however many links lead to it."""
    counted: dict[tuple[int, int], int] = {}
    waiting = [(folder, 0)]
    while waiting and len(counted) < FOLDERS:
        one, depth = waiting.pop()
        counted |= {(stat.st_dev, stat.st_ino): stat.st_size for _, stat in _files(one)}
        if depth < DEPTH:
            waiting += [(below, depth + 1) for below in _folders(one)]
    return sum(counted.values())


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in _entries(folder)}


def _folders(folder: Path) -> list[Path]:
    """Those in it that are no links and not hidden, in order."""
    found = []
    for entry in _entries(folder):
        try:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                found.append(folder / entry.name)
        except OSError:
            continue
    return sorted(found)


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Those in it that exist, also behind links."""
    found = []
    for entry in _entries(folder):
        try:
            if entry.is_file():
                found.append((folder / entry.name, entry.stat()))
        except OSError:  # a loop of links
            continue
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry, _ in zip(entries, range(ENTRIES), strict=False)]
    except (OSError, ValueError):
        return []


def _real(folder: Path) -> Path | None:
    try:
        return folder.expanduser().resolve()
    except (OSError, RuntimeError):  # a loop of links, a user who does not exist
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():  # a pipe would never end
            return {}
        with path.open("rb") as file:
            found = json.loads(file.read(JSON_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
