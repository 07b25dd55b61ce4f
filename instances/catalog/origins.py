"""Where the files of a model come from, told by how a configuration names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SMOLLM2 = "smollm2-135m-instruct"  # the folder of the model that comes as a Python package


@dataclass(frozen=True)
class Origin:
    kind: Literal["local", "hub", "modelscope", "package"]
    id: str  # as its source names it
    folder: Path | None  # where it belongs on this machine; None: into the Hugging Face cache


def origin_of(model: str, models_dir: Path) -> Origin:
    """A path under `models_dir` may be one that we fetch; any other path is local; all else is a hub id."""
    if not model.startswith(("/", ".", "~")):
        return Origin("hub", model, None)
    path = Path(model).expanduser()
    if path == models_dir / SMOLLM2:
        return Origin("package", SMOLLM2, path)
    if path.is_relative_to(models_dir / "modelscope"):
        parts = path.relative_to(models_dir / "modelscope").parts
        if len(parts) == 2:
            return Origin("modelscope", "/".join(parts), path)
    return Origin("local", model, path)
