"""Where the files of a model come from, told by how a configuration names it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SMOLLM2 = "smollm2-135m-instruct"  # the folder of the model that comes as a Python package
MODELSCOPE = "modelscope"  # the folder of those that come from there


@dataclass(frozen=True)
class Origin:
    kind: Literal["local", "hub", "modelscope", "package"]
    id: str  # as its source names it
    folder: Path | None  # where it belongs on this machine; None: into the Hugging Face cache


def origin_of(model: str, models_dir: Path) -> Origin:
    """A path under `models_dir` may be one that we fetch; any other path is local; all else is a hub id."""
    if not model.startswith(("/", ".", "~")):
        return Origin("hub", model, None)
    path = Path(os.path.normpath(Path(model).expanduser()))  # `..` must not lead a download out of its folder
    if path == models_dir / SMOLLM2:
        return Origin("package", SMOLLM2, path)
    if path.is_relative_to(models_dir / MODELSCOPE):
        parts = path.relative_to(models_dir / MODELSCOPE).parts
        if len(parts) == 2 and not any(part.startswith(".") for part in parts):
            return Origin("modelscope", "/".join(parts), path)
    return Origin("local", model, path)


def modelscope_path(model: str, models_dir: Path) -> str:
    """How a configuration names a model of ModelScope."""
    return str(models_dir / MODELSCOPE / model)


def name_of(model: str) -> str:
    """A name for an instance that serves it: `qwen3-8b` for Qwen/Qwen3-8B."""
    words = re.sub(r"[^a-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2].lower()).strip("._-")
    return words[:55].strip("._-") or "model"
