"""Random kills over running fake engines: whatever dies, the states come true and nothing is left over."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import psutil
import pytest

from tests.console import Console, eventually

pytestmark = pytest.mark.stress
ROUNDS, SEED = 20, 20261125
NAMES = ("a", "b", "c")


def all_running(console: Console) -> list[dict[str, Any]] | None:
    instances: list[dict[str, Any]] = console.api("GET", "/api/models/list").json()
    states = [(one["launch"] or {}).get("state") for one in instances]
    return instances if states == ["running"] * len(NAMES) else None


def runs(process: psutil.Process) -> bool:
    """A zombie does not: it waits for whatever is process 1 here."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def processes_of(console: Console) -> list[psutil.Process]:
    """Shims and engines of this console, by the data folder in their command lines or above them."""
    shims = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(part.startswith(f"{console.data}/launches/") for part in process.info["cmdline"] or [])
    ]
    return shims + [child for shim in shims for child in shim.children(recursive=True)]


def test_whatever_is_killed_each_instance_runs_again_as_one_process(console: Console) -> None:
    dice = random.Random(SEED)
    console.start()
    console.make_administrator()
    for name in NAMES:
        body = {"name": name, "preset": "tiny-demo"}
        assert console.api("POST", "/api/models/deploy", json=body).status_code == 201
    for _ in range(ROUNDS):
        instances = eventually(lambda: all_running(console), within=120)
        assert instances is not None
        chosen = dice.choice(instances)
        engine = psutil.Process(chosen["launch"]["pid"])
        victim = dice.choice(("console", "engine", "shim"))
        if victim == "console":
            console.end(signal.SIGKILL)
            console.start()
            continue
        os.kill(engine.pid if victim == "engine" else engine.ppid(), signal.SIGKILL)
        console.reaches(chosen["id"], "error", within=60)
        assert not runs(engine)
        console.api("POST", f"/api/models/{chosen['id']}/start")  # not to wait for the back-off
    instances = eventually(lambda: all_running(console), within=120)
    assert instances is not None
    mains = {one["launch"]["pid"] for one in instances}
    shims = {psutil.Process(pid).ppid() for pid in mains}
    left = processes_of(console)
    assert {process.pid for process in left} >= mains | shims
    assert {process.ppid() for process in left if process.pid in mains} == shims and len(shims) == len(NAMES)
    console.close()
    assert not [process for process in left if runs(process)]
