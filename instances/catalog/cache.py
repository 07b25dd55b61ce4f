"""The layout of the Hugging Face cache, and whether all that a model needs is in a folder.

`models--OWNER--NAME/refs/main` holds a commit, `snapshots/COMMIT/` links to `blobs/`, and what is being fetched is
called `*.incomplete`. Other programs write there too, so nothing in it is trusted: no function raises.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HF_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MISTRAL_INDEX = "consolidated.safetensors.index.json"
INDEX_LIMIT = 50 * 2**20  # bytes
REF_LIMIT = 200  # bytes
PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.safetensors|\.bin)")
COMMIT = re.compile(r"[\w.-]+")
MODEL = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def snapshot(cache: Path, model: str, revision: str | None = None, mistral: bool = False) -> Path | None:
    """The folder of a model of which every file is there; None too for names that would lead elsewhere.

    `mistral`: the weights that `--load-format mistral` reads, where a model has both kinds.
    """
    if not MODEL.fullmatch(model) or ".." in model:
        return None
    revision = revision or "main"
    folder = storage(cache, model)
    commit = commit_of(folder, revision) or revision
    if not COMMIT.fullmatch(commit) or commit.strip(".") == "":
        return None
    found = folder / "snapshots" / commit
    return found if is_complete(found, mistral=mistral) else None


def storage(cache: Path, model: str) -> Path:
    return cache / f"models--{model.replace('/', '--')}"


def is_revision(revision: str) -> bool:
    """A branch may hold slashes, as `refs/pr/7`; no part of it leads upwards or nowhere."""
    parts = revision.split("/")
    return len(revision) <= REF_LIMIT and all(COMMIT.fullmatch(part) and part.strip(".") for part in parts)


def commit_of(storage: Path, revision: str) -> str:
    """The commit that a branch or tag named when it was last asked for; empty when that is not known."""
    if not is_revision(revision):
        return ""
    ref = storage / "refs" / revision
    try:
        if not ref.is_file():  # a pipe would be waited for
            return ""
        with ref.open() as file:
            return file.read(REF_LIMIT).strip()
    except (OSError, ValueError):
        return ""


def is_complete(folder: Path, *, mistral: bool = False) -> bool:
    return missing(folder, mistral=mistral) == ""


def missing(folder: Path, *, mistral: bool = False) -> str:
    """What a folder lacks to be a model, in a few words; empty when it lacks nothing."""
    try:
        names = {path.name for path in folder.iterdir() if path.is_file()}  # a dangling link is none
        if not names:
            return "no files"
        if any(name.endswith(".incomplete") for name in names):
            return "the end of its download"
        if "config.json" not in names and "params.json" not in names:
            return "config.json"
        return _missing_weights(folder, names, mistral or "config.json" not in names)
    except OSError:
        return "its folder"


def _missing_weights(folder: Path, names: set[str], mistral: bool) -> str:
    consolidated = {name for name in names if name.startswith("consolidated")}
    indexes = (MISTRAL_INDEX,) if mistral else HF_INDEXES
    if not mistral and consolidated and not (names & set(HF_INDEXES)) and not _weights(names - consolidated):
        indexes, mistral = (MISTRAL_INDEX,), True  # it has no others
    for index in indexes:
        if index in names:
            return _first_missing(folder, index)
    weights = _weights(consolidated if mistral else names - consolidated)
    if not weights:
        return "weights"
    for name in weights:
        if part := PART.fullmatch(name):
            all_parts = (f"{part[1]}-{n:05}-of-{part[3]}{part[4]}" for n in range(1, int(part[3]) + 1))
            return next((one for one in all_parts if one not in names), "")
    return ""


def _first_missing(folder: Path, index: str) -> str:
    """The first file that an index names and the folder lacks."""
    try:
        with (folder / index).open("rb") as file:
            named = json.loads(file.read(INDEX_LIMIT))["weight_map"].values()
        for name in sorted(set(named)):
            if not (folder / name).exists():
                return str(name)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"a readable {index}"
    return ""


def _weights(names: set[str]) -> list[str]:
    usual = sorted(name for name in names if name.endswith(".safetensors"))
    return usual or sorted(name for name in names if name.endswith((".bin", ".pt")))
