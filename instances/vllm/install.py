"""Installs engines: `python -m instances.vllm.install`, as ./start.sh does at every start.

With `--version` it installs another one beside it, into a folder of its own. Guarantees: a complete engine costs no
work at all; no two ever install into one folder at once; what was cut off or failed is finished by the next run. Ends
with 0 when there is an engine, with 3 and two sentences when there is none (with 1 where a job follows its progress).
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

from instances.jobs.tell import Tell
from instances.vllm import engines, json_files, own_command, resolution
from instances.vllm.accelerators import accelerator
from instances.vllm.engines import AGAIN, REQUIREMENTS, ROOT, TRY_AGAIN, Accelerator, Engine, Missing
from instances.vllm.failures import Failed
from instances.vllm.installation import Installation
from instances.vllm.progress import Progress

NO_ENGINE = 3
FAILED_JOB = 1
# Set for the console's own sake, these would spoil the engine's environment or slow down its start.
LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME", "PYTHONSTARTUP"}
LEFT_OUT |= {
    "VIRTUAL_ENV",
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
        engines.find(environ, root)
        own_command.wait()
        return engines.find(environ, root)
    kind = accelerator(environ)
    folder = engines.folder(kind, environ, root)
    return _installed(folder, kind, root / REQUIREMENTS[kind], "", environ, python, Progress())


def install_version(
    version: str,
    kind: Accelerator,
    environ: Mapping[str, str] = os.environ,
    root: Path = ROOT,
    python: Path = Path(sys.executable),
    tell: Tell | None = None,
) -> Engine | Missing:
    """The engine of this version. The one that the lock file names is installed as the lock file says."""
    progress = Progress(tell=tell)
    if version == resolution.locked_version(root / REQUIREMENTS[kind], kind):
        lock = root / REQUIREMENTS[kind]
        return _installed(engines.folder(kind, environ, root), kind, lock, "", environ, python, progress)
    folder = engines.home(environ, root) / f"{kind}-{version}"
    pins = folder.with_name(f"{folder.name}.pins")
    return _installed(folder, kind, pins, version, environ, python, progress)


def _installed(
    folder: Path,
    kind: Accelerator,
    requirements: Path,
    version: str,
    environ: Mapping[str, str],
    python: Path,
    progress: Progress,
) -> Engine | Missing:
    if engine := engines.read(folder):
        return engine
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(engines.lock_file(folder), progress) as lock:
            if engine := engines.read(folder):  # somebody else installed it while this one waited
                return engine
            if (folder / engines.MARKER).exists():  # it was complete once and no longer runs
                shutil.rmtree(folder)
            log = folder.with_name(f"{folder.name}.log")
            log.write_bytes(b"")
            settings = _environment(environ, folder)
            attempt = Installation(folder, kind, requirements, python, settings, lock, log, version, progress)
            return _attempt(attempt)
    except OSError as error:
        return _refused(error, TRY_AGAIN if version else AGAIN)


def _attempt(installation: Installation) -> Engine | Missing:
    again = TRY_AGAIN if installation.version else AGAIN
    try:
        return installation.run()
    except Failed as failure:
        told = resolution.explained(failure, installation.accelerator, installation.version)
        missing = Missing(told.reason, told.mend if told.is_final else f"{told.mend} {again}".lstrip())
    except OSError as error:
        missing = _refused(error, again)
    installation.folder.mkdir(exist_ok=True)
    last = installation.log.read_text(errors="replace").splitlines()[-20:]
    content = {"reason": missing.reason, "mend": missing.mend, "last": last}
    json_files.write(installation.folder / engines.FAILURE, content)
    return missing


def _refused(error: OSError, again: str) -> Missing:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "The engine's installation failed: the disk is full."
    else:
        where = f" ({error.filename})" if error.filename else ""
        reason = f"The engine's installation failed: {error.strerror}{where}."
    return Missing(reason, f"Mend that, or set LLMOPS_ENGINES to another folder. {again}")


@contextmanager
def _alone(path: Path, progress: Progress) -> Iterator[IO[str]]:
    """Hold the lock of a folder, waiting for whoever installs there now."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("Another start is installing this engine; waiting for it.")
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
    parser.add_argument("--version", type=_version, help="install this version of vLLM beside the others")
    parser.add_argument(
        "--accelerator", choices=sorted(REQUIREMENTS), help="of that version; else as the machine has it"
    )
    parser.add_argument("--progress", type=Path, help="write to this file how far it is")
    options = parser.parse_args(arguments)
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, _ended)
    tell = Tell(options.progress) if options.progress else None
    if options.check:
        found = engines.find(root=root)
    elif options.version:
        kind = options.accelerator or accelerator()
        found = install_version(options.version, kind, root=root, python=python, tell=tell)
    else:
        found = install(root=root, python=python)
    match found:
        case Engine(path, version, kind):
            print(f"      vLLM {version} ({kind.upper()}) in {path.parent.parent}")
            if tell:
                tell.finish(result=found.slug)
            return 0
        case Missing(reason, mend):
            print(f"      {reason}\n      {mend}")
            if tell:
                tell.fail(reason, mend)
            return FAILED_JOB if tell else NO_ENGINE


def _version(text: str) -> str:
    if version := resolution.version_of(text):
        return version
    raise argparse.ArgumentTypeError(f"{text} is no version; it looks like 0.31.0")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
