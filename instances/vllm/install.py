"""Installs the engine: `python -m instances.vllm.install`, as ./start.sh does at every start.

Guarantees: a complete engine costs no work at all; two starts never install into one folder at once; what was
cut off or failed is finished by the next run. Ends with 0 when there is an engine, with 3 and two sentences
when there is none.
"""

import argparse
import errno
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from instances.vllm import engines
from instances.vllm.accelerators import accelerator
from instances.vllm.engines import AGAIN, REQUIREMENTS, ROOT, Engine, Missing
from instances.vllm.installation import Failed, Installation

NO_ENGINE = 3
# Set for the console's own sake, these would spoil the engine's environment or slow down its start.
LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV"}
LEFT_OUT |= {
    "PIP_NO_COMPILE",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_ROOT",
    "SECRET_KEY",
    "DATABASE_URL",
}


def install(
    environ: Mapping[str, str] = os.environ, root: Path = ROOT, python: Path = Path(sys.executable)
) -> Engine | Missing:
    """The engine of this machine, installed now if it was not; Missing says why there is none."""
    if environ.get("LLMOPS_VLLM"):
        return engines.find(environ, root)
    kind = accelerator(environ)
    folder = engines.folder(kind, environ, root)
    if engine := engines.read(folder):
        return engine
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(engines.lock_file(folder)) as lock:
            if engine := engines.read(folder):  # another start installed it while this one waited
                return engine
            if (folder / engines.MARKER).exists():  # it was complete once and no longer runs
                shutil.rmtree(folder)
            log = folder.with_name(f"{folder.name}.log")
            log.write_bytes(b"")
            settings = _environment(environ, folder)
            requirements = root / REQUIREMENTS[kind]
            return _attempt(Installation(folder, kind, requirements, python, settings, lock, log))
    except OSError as error:
        return _refused(error)


def _attempt(installation: Installation) -> Engine | Missing:
    try:
        return installation.run()
    except Failed as failure:
        missing = Missing(failure.reason, failure.mend)
    except OSError as error:
        missing = _refused(error)
    installation.folder.mkdir(exist_ok=True)
    last = installation.log.read_text(errors="replace").splitlines()[-20:]
    content = {"reason": missing.reason, "mend": missing.mend, "last": last}
    engines.write_json(installation.folder / engines.FAILURE, content)
    return missing


def _refused(error: OSError) -> Missing:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "The engine's installation failed: the disk is full."
    else:
        where = f" ({error.filename})" if error.filename else ""
        reason = f"The engine's installation failed: {error.strerror}{where}."
    return Missing(reason, f"Mend that, or set LLMOPS_ENGINES to another folder. {AGAIN}")


@contextmanager
def _alone(path: Path) -> Iterator[IO[str]]:
    """Hold the lock of a folder, waiting for whoever installs there now."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("      Another start is installing this engine; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in LEFT_OUT}
    own = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder / "tmp"),  # gigabytes pass through it, and /tmp may be small memory
    }
    return kept | own


def _ended(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str], root: Path = ROOT, python: Path = Path(sys.executable)) -> int:
    parser = argparse.ArgumentParser(prog="python -m instances.vllm.install", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether there is an engine")
    options = parser.parse_args(arguments)
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, _ended)
    found = engines.find(root=root) if options.check else install(root=root, python=python)
    match found:
        case Engine(path, version, kind):
            print(f"      vLLM {version} ({kind.upper()}) in {path.parent.parent}")
            return 0
        case Missing(reason, mend):
            print(f"      {reason}\n      {mend}")
            return NO_ENGINE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
