"""What `benchmarks.monitoring` measures against: engines that only have pages and processes, and many GPUs."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pynvml

from monitoring.sampler import Target

ROOT = Path(__file__).resolve().parent.parent
TREE = "import subprocess, time; [subprocess.Popen(['sleep', '10000']) for _ in range(2)]; time.sleep(10000)"


class Engines:
    """So many engines: one server for all their pages, which move, and three processes each."""

    def __init__(self, count: int) -> None:
        self.targets: list[Target] = []
        self._processes: list[subprocess.Popen[str]] = []
        self._count = count

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.monitoring_page"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._processes.append(server)
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/metrics"
        for number in range(self._count):
            tree = subprocess.Popen([sys.executable, "-c", TREE], text=True, start_new_session=True)
            self._processes.append(tree)
            self.targets.append(Target(f"launch:{number}", tree.pid, url, "key"))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes[1:]:
            os.killpg(process.pid, 9)  # a session of our own making
        self._processes[0].kill()
        for process in self._processes:
            process.wait()


def fake_gpus(count: int, folder: Path) -> None:
    """pynvml of this process finds the tests' library, with so many GPUs."""
    library = folder / "libnvidia-ml.so.1"
    source = ROOT / "tests" / "fakes" / "nvml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    os.environ["FAKE_NVML_GPUS"] = str(count)
    pynvml.nvmlLib = ctypes.CDLL(str(library))
    pynvml._nvmlGetFunctionPointer_cache.clear()


def reading(seconds: int) -> dict[str, Any]:
    """What a busy engine leaves in so many seconds."""

    def gauge(value: float) -> list[float]:
        spread = value * (0.9 + random.random() / 5)
        return [seconds, round(spread * seconds, 1), round(value * 0.9, 1), round(value * 1.1, 1)]

    def histogram(*edges: str) -> dict[str, float]:
        found = {edge: float(random.randrange(1, 3 * seconds)) for edge in edges}
        return found | {"sum": round(sum(found.values()) * 0.05, 6)}

    return {
        "s": seconds,
        "cpu": gauge(150),
        "memory": gauge(3 * 2**30),
        "running": gauge(4),
        "waiting": gauge(0.5),
        "kv_cache": gauge(31),
        "generation_tokens": float(140 * seconds),
        "prompt_tokens": float(400 * seconds),
        "prefix_queries": float(400 * seconds),
        "prefix_hits": float(260 * seconds),
        "finished_stop": float(2 * seconds),
        "finished_length": float(seconds),
        "first_token": histogram("0.02 0.04", "0.04 0.06", "0.06 0.08", "0.08 0.1", "0.1 0.25"),
        "output_token": histogram("0 0.01", "0.01 0.025", "0.025 0.05"),
        "whole": histogram("0 0.3", "0.3 0.5", "0.5 0.8", "0.8 1", "1 1.5", "1.5 2"),
        "queue": histogram("0 0.3", "0.3 0.5"),
    }
