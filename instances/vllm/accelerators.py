"""Tells which build of the engine this machine can use."""

import os
import shutil
import subprocess
from collections.abc import Mapping

import pynvml

from instances.vllm.engines import Accelerator


def accelerator(environ: Mapping[str, str] = os.environ) -> Accelerator:
    """`cuda` when an NVIDIA GPU answers, by the driver's library or by `nvidia-smi`; else `cpu`."""
    return "cuda" if _library_answers() or _command_answers(environ) else "cpu"


def _library_answers() -> bool:
    try:
        pynvml.nvmlInit()
        return bool(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return False


def _command_answers(environ: Mapping[str, str]) -> bool:
    """Where the library stands off the loader's path, as under WSL, its command still answers."""
    command = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if not command:
        return False
    try:
        listed = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return "GPU 0:" in listed.stdout
