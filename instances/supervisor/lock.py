"""One supervisor per data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self


class LockHeld(Exception):
    """Another supervisor works on this data folder; the sentence says which."""


class DataLock:
    """Guarantees that one process at a time supervises a data folder. The kernel frees it when that process ends."""

    def __init__(self, data: Path) -> None:
        self._path = data / "supervisor.lock"
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Raises LockHeld."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise LockHeld(
                f"Process {holder} already supervises the engines of {self._path.parent}. "
                "Stop that console first, or set LLMOPS_DATA to another folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
