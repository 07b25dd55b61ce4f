"""Whether a disk has room for what is to come."""

from __future__ import annotations

import shutil
from pathlib import Path

from .failures import NoSpace

RESERVE = 200 * 10**6  # bytes that stay free for everything else


def free_of(folder: Path) -> int:
    """Free bytes where a folder is, or will be. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def demand(folder: Path, needed: int) -> None:
    """Raises NoSpace, with the numbers, unless so many bytes fit."""
    there = free_of(folder)
    if needed + RESERVE > there:
        raise NoSpace(
            f"It needs {words(needed)} more, and {words(there)} are free under {folder}.",
            f"Free {words(needed + RESERVE - there)}, or keep models on a larger disk.",
        )


def words(size: float) -> str:
    """`16.4 GB`, `512 MB`, `3 kB`."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if unit >= 10**9 else f"{size / unit:.0f} {name}"
    return f"{size:.0f} bytes"
