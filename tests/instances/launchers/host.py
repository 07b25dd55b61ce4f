"""A host for tests: real launches of small programs, and nothing of them left afterwards."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from instances.launchers import processes
from instances.launchers.base import LOG_CAP, Exit, LaunchSpec, Observation, Ref
from instances.launchers.local import LocalLauncher

DEADLINE = 30.0  # seconds; generous, machines are busy


def until(what: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until `what` is true. Raises AssertionError if it does not become so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    process = processes.look(pid)
    return process is not None and not process.ended


class Host:
    """Starts Python programs as engines."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.launcher = LocalLauncher(root)
        self.refs: list[Ref] = []

    def spec(self, *argv: str, cap: int = LOG_CAP, number: int | None = None, **env: str) -> LaunchSpec:
        number = number or len(self.refs) + 1
        return LaunchSpec(number, argv, {"PATH": os.environ["PATH"]} | env, self.root / str(number), cap)

    def start(self, spec: LaunchSpec) -> Ref:
        ref = self.launcher.start(spec)
        self.refs.append(ref)
        return ref

    def run(self, *argv: str, cap: int = LOG_CAP) -> Ref:
        return self.start(self.spec(*argv, cap=cap))

    def python(self, program: str, cap: int = LOG_CAP) -> Ref:
        return self.run(sys.executable, "-I", "-S", "-c", program, cap=cap)

    def see(self, ref: Ref) -> Observation:
        return self.launcher.observe(ref)

    def ended(self, ref: Ref) -> Exit:
        until(lambda: not self.see(ref).alive)
        exit_ = self.see(ref).exit
        assert exit_ is not None, self.see(ref)
        return exit_

    def said(self, ref: Ref, name: str) -> Path:
        """A file that the engine writes into its folder, once it is there."""
        path = ref.directory / name
        until(path.exists)
        return path

    def pids(self, ref: Ref, name: str = "pids") -> list[int]:
        """Pids that the engine has written to a file, each on a line, the last line being `ready`."""
        path = self.said(ref, name)
        until(lambda: path.read_text().endswith("ready\n"))
        return [int(line) for line in path.read_text().split()[:-1]]

    def shim_pid(self, ref: Ref) -> int:
        until(lambda: self.see(ref).pid is not None)
        return int(json.loads((ref.directory / "shim.json").read_text())["shim"]["pid"])

    def close(self) -> None:
        for ref in self.refs:
            self.launcher.kill(ref)
        for ref in self.refs:
            until(lambda ref=ref: not self.see(ref).alive)  # type: ignore[misc]
