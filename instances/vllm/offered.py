"""Which versions of vLLM the package index offers. pip is asked: it knows the operator's indexes and proxies."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from instances.vllm import resolution
from instances.vllm.engines import Accelerator

REMEMBERED = 3600  # seconds
WITHIN = 10  # seconds
PASSED_ON = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def versions(
    home: Path,
    accelerator: Accelerator,
    environ: Mapping[str, str] = os.environ,
    python: Path = Path(sys.executable),
) -> list[str]:
    """The newest ones first. Where the index does not answer, those that were known before."""
    if not _is_fresh(resolution.kept_versions(home, accelerator)):
        _ask(home, accelerator, environ, python)
    return resolution.versions(home, accelerator)


def _is_fresh(kept: Path) -> bool:
    try:
        return time.time() - kept.stat().st_mtime < REMEMBERED
    except OSError:
        return False


def _ask(home: Path, accelerator: Accelerator, environ: Mapping[str, str], python: Path) -> None:
    short = ["--timeout", "5", "--retries", "0", "--disable-pip-version-check", "--no-input"]
    argv = [str(python), "-m", "pip", "index", "versions", *short, resolution.PACKAGE[accelerator]]
    allowed = {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.lower().endswith("_proxy") or name.startswith(("PIP_", "XDG_"))
    }
    try:
        said = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            env=allowed,
            check=True,
        )
        home.mkdir(parents=True, exist_ok=True)
        resolution.keep_versions(home, accelerator, said.stdout)
    except (OSError, subprocess.SubprocessError):  # nothing is lost: what is known already is offered
        return
