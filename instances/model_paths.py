"""Where a model may lie: a name on the hub, or a folder inside the model roots."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from .catalog.origins import Origin, origin_of

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
LONGEST = 500  # characters; what the record of a download holds


class OutsideRoots(Exception):
    """The path is not inside the model roots; carries a sentence for the person."""


def is_path(model: str) -> bool:
    """A path begins with a slash, a dot or a tilde; everything else is a hub id."""
    return model.startswith(("/", ".", "~"))


def models_dir() -> Path:
    """Where what we fetch lies, but for the Hugging Face cache."""
    return Path(settings.LLMOPS_DATA) / "models"


def origin(model: str) -> Origin:
    """Where the files of a model come from, told by how a configuration names it."""
    return origin_of(model, models_dir())


def resolve(model: str) -> str:
    """A hub id as it is; a path with every symlink followed, which must lie inside the model roots.

    Raises OutsideRoots. Called at the save and again at the start, since a link may have been swapped between.
    """
    if len(model) > LONGEST:
        raise OutsideRoots(f"“{model[:40]}…” is too long to be the name of a model or a path.")
    if not is_path(model):
        if not HUB_ID.fullmatch(model) or ".." in model:
            raise OutsideRoots(f"“{model}” is neither a hub name like Qwen/Qwen3-8B nor a path.")
        return model
    try:
        real = Path(model).expanduser().resolve()
    except (RuntimeError, OSError, ValueError):  # nobody's home, a loop of links, a zero byte
        raise OutsideRoots(f"{model!r} is no path that can be followed on this machine.") from None
    roots = [root.expanduser().resolve() for root in settings.LLMOPS_MODEL_ROOTS]
    if not any(real.is_relative_to(root) for root in roots):
        places = ", ".join(str(root) for root in roots)
        raise OutsideRoots(
            f"{model} is outside the folders for models: {places}. LLMOPS_MODEL_ROOTS adds one."
        )
    return str(real)
