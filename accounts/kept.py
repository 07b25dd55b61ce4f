"""Secrets that this installation makes for itself and keeps. Needs no Django, since the settings use it too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`, made at the first call and readable by the owner alone.

    It appears there in one piece: who comes second, at the same moment too, reads what the first one made.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with open(draft, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(make())
        try:
            os.link(draft, path)  # unlike a rename it never replaces what stands there
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
