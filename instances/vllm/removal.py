"""Takes an engine that a person chose off the disk. What ./start.sh installed, and what is not ours, stays."""

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from instances.vllm import engines


class NotRemovable(Exception):
    """It stays; carries a sentence."""


def remove(slug: str, environ: Mapping[str, str] = os.environ, root: Path | None = None) -> None:
    """Nobody finds it from the first moment on, and nobody installs there meanwhile. Raises NotRemovable and OSError.

    Whether somebody uses it is the caller's question.
    """
    folder = engines.home(environ, root) / slug
    if not engines.CHOSEN.fullmatch(slug) or "/" in slug:
        raise NotRemovable("Only an engine that was installed here as a chosen version can be removed.")
    if folder.is_symlink():
        raise NotRemovable(f"{folder} is a link to another folder. Remove the link yourself.")
    if not folder.is_dir():
        raise NotRemovable(f"There is no engine {slug} on this host.")
    with engines.lock_file(folder).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotRemovable("It is being installed right now. Cancel that first.") from None
        for left in folder.parent.glob(f".{slug}.removed.*"):  # of a removal that was cut off
            shutil.rmtree(left, ignore_errors=True)
        aside = folder.with_name(f".{slug}.removed.{os.getpid()}")
        folder.rename(aside)
        for ending in ("log", "pins"):
            folder.with_name(f"{slug}.{ending}").unlink(missing_ok=True)
        shutil.rmtree(aside)
