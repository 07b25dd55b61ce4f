"""The layout of the Hugging Face cache, and what of a model is in it."""

from __future__ import annotations

import json
from pathlib import Path

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def snapshot(cache: Path, model: str, revision: str | None = None) -> Path | None:
    """The folder of a model of which every file is there."""
    folder = cache / f"models--{model.replace('/', '--')}"
    try:
        commit = (folder / "refs" / (revision or "main")).read_text().strip()
    except OSError:
        commit = revision or ""
    found = folder / "snapshots" / commit
    return found if commit and is_complete(found) else None


def is_complete(folder: Path) -> bool:
    if not (folder / "config.json").exists():
        return False
    for index in INDEXES:
        if (folder / index).exists():
            names = set(json.loads((folder / index).read_text())["weight_map"].values())
            return all((folder / name).exists() for name in names)
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
