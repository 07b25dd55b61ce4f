"""Why a model could not be looked up or fetched: narrow exceptions, each with what happened and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

AGAIN = "Try again; it goes on where it stopped."


class CatalogFailure(Exception):
    """Two sentences for a person. Never holds a token, nor an address with a password in it."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend


class NotFound(CatalogFailure):
    """The hub has no such model, revision or file, or hides it."""


class Gated(CatalogFailure):
    """The hub wants a licence to be accepted, or a token, or another one."""


class RateLimited(CatalogFailure):
    """The hub had too many questions. `wait`: seconds that it asked for, where it said."""

    def __init__(self, reason: str, mend: str, wait: float | None = None) -> None:
        super().__init__(reason, mend)
        self.wait = wait


class Unreachable(CatalogFailure):
    """There was no answer, or one that said that the hub itself has failed."""


class NotAHub(CatalogFailure):
    """Somebody else answered: a proxy's page, another service."""


class NoSpace(CatalogFailure):
    """The disk is too small, or full."""


class NotWritable(CatalogFailure):
    """The folder does not let us write."""


class Damaged(CatalogFailure):
    """What came is not what the hub promised."""


def of_os_error(error: OSError, folder: Path) -> CatalogFailure:
    """What the system's word means where files of a model are written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"The disk under {folder} is full.", f"Free some space. {AGAIN}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotWritable(
            f"{folder} cannot be written.", "Let this user write it, or set HF_HOME or LLMOPS_DATA elsewhere."
        )
    return CatalogFailure(f"{folder}: {error.strerror or type(error).__name__}.", AGAIN)
