"""What supervision costs and how quickly it sees: `python -m benchmarks.supervision [--quick]`.

The console is real, the engines are the tests' fake ones. Nothing is asserted: machines differ. Beside our figures
stand those of the least that could do the same on this machine in the same minute.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.console import Console, eventually, free_port
from tests.faults.engines import lives

MIB = 2**20
POLL = 0.002  # seconds


class Rows:
    """A tight look at the database of a console, without a web server between."""

    def __init__(self, console: Console) -> None:
        self._connection = sqlite3.connect(f"file:{console.data / 'db.sqlite3'}?mode=ro", uri=True)

    def state(self, launch_id: int) -> str:
        query = "SELECT state FROM instances_launch WHERE id = ?"
        return str(self._connection.execute(query, (launch_id,)).fetchone()[0])

    def until(self, launch_id: int, *states: str, within: float = 60.0) -> float:
        """Seconds until the launch is in one of these states."""
        began = time.monotonic()
        while self.state(launch_id) not in states:
            if time.monotonic() - began > within:
                raise TimeoutError(f"launch {launch_id} is {self.state(launch_id)}, not {states}")
            time.sleep(POLL)
        return time.monotonic() - began


class Table:
    def __init__(self) -> None:
        print(f"{'figure':<52}{'here':>12}{'goal':>12}{'peer':>12}{'ratio':>8}")

    def row(self, figure: str, here: float, unit: str, goal: str, peer: float | None = None) -> None:
        against = f"{peer:.2f} {unit}" if peer is not None else ""
        ratio = f"{here / peer:.1f}" if peer else ""
        print(f"{figure:<52}{f'{here:.2f} {unit}':>12}{goal:>12}{against:>12}{ratio:>8}", flush=True)


def busy_share(process: psutil.Process, seconds: float) -> float:
    """Percent of one core, own threads only."""

    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    before, began = used(), time.monotonic()
    time.sleep(seconds)  # what is measured is the passing of time
    return 100 * (used() - before) / (time.monotonic() - began)


def deploy(console: Console, count: int) -> list[dict[str, Any]]:
    """So many running engines, the ones that are there included."""
    have = len(console.api("GET", "/api/models/list").json())
    for number in range(have, count):
        body = {"name": f"e{number}", "preset": "tiny-demo", "restart_policy": "never"}
        answer = console.api("POST", "/api/models/deploy", json=body)
        assert answer.status_code == 201, answer.text

    def all_run() -> list[dict[str, Any]]:
        found = console.api("GET", "/api/models/list").json()
        return found if all((one["launch"] or {}).get("state") == "running" for one in found) else []

    return eventually(all_run, within=600, what="all engines run") if count else []


def remove_but(console: Console, count: int) -> None:
    instances = console.api("GET", "/api/models/list").json()
    for instance in instances[count:]:
        console.api("DELETE", f"/api/models/{instance['id']}")
    eventually(lambda: len(console.api("GET", "/api/models/list").json()) <= count, within=120)


def idle_daphne(console: Console, seconds: float) -> float:
    """The same web server without a supervisor, and nobody who asks it anything."""
    command = [
        sys.executable,
        "-m",
        "daphne",
        "-b",
        "127.0.0.1",
        "-p",
        str(free_port()),
        "llmops.asgi:application",
    ]
    with subprocess.Popen(
        command, env=console.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as bare:
        try:
            process = psutil.Process(bare.pid)
            eventually(lambda: process.net_connections(), what="Daphne listens")
            time.sleep(2)
            return busy_share(process, seconds)
        finally:
            bare.kill()


def bare_wait(runs: int) -> float:
    """Milliseconds from SIGKILL of a child to `Popen.wait` coming back, in the median."""
    taken = []
    for _ in range(runs):
        child = subprocess.Popen(["sleep", "60"])
        began = time.monotonic()
        child.kill()
        child.wait()
        taken.append(1000 * (time.monotonic() - began))
    return median(taken)


def measure_load(console: Console, table: Table, counts: list[int], seconds: float, what: str) -> None:
    assert console.process is not None
    process = psutil.Process(console.process.pid)
    peer = idle_daphne(console, min(seconds, 20))
    for count in counts:
        engines = deploy(console, count)
        time.sleep(5)  # starts are over
        before = process.memory_info().rss
        goal = {0: "", 5: "< 1 %"}.get(count, "< 3 %")
        table.row(f"CPU, {count} idle engines, {what}", busy_share(process, seconds), "%", goal, peer)
        table.row("  memory, grown meanwhile", (process.memory_info().rss - before) / MIB, "MiB", "0")
        if engines:
            shims = [psutil.Process(one["launch"]["pid"]).parent() for one in engines]
            sizes = [shim.memory_info().rss / MIB for shim in shims if shim]
            table.row(f"  memory of a shim, median of {len(sizes)}", median(sizes), "MiB", "< 12 MiB")


def measure_ends(console: Console, table: Table, runs: int) -> None:
    rows = Rows(console)
    instance = deploy(console, 1)[0]
    path = f"/api/models/{instance['id']}"
    written, seen, stopped = [], [], []
    for _ in range(runs):
        launch = _run_again(console, instance["id"])
        record = console.data / "launches" / str(launch["id"]) / "exit.json"
        main = psutil.Process(launch["pid"])
        tree = [main, *main.children(recursive=True)]
        os.kill(launch["pid"], signal.SIGKILL)
        began = _until(lambda tree=tree: not any(map(lives, tree)))  # type: ignore[misc]
        _until(lambda record=record: record.exists() and record.stat().st_size > 2)  # type: ignore[misc]
        written.append(1000 * (time.monotonic() - began))
        rows.until(launch["id"], "error")
        seen.append(1000 * (time.monotonic() - began))
    for _ in range(max(3, runs // 4)):
        launch = _run_again(console, instance["id"])
        began = time.monotonic()
        console.api("POST", f"{path}/stop")
        rows.until(launch["id"], "stopped")
        stopped.append(time.monotonic() - began)
    peer = bare_wait(runs)
    table.row(f"tree gone -> exit record, median of {runs}", median(written), "ms", "< 50 ms", peer)
    table.row(f"tree gone -> state in the database, median of {runs}", median(seen), "ms", "< 50 ms", peer)
    table.row("  the slowest of them", max(seen), "ms", "")
    table.row(f"click on stop -> proved stopped, median of {len(stopped)}", median(stopped), "s", "")
    launch = _run_again(console, instance["id"])
    os.kill(launch["pid"], signal.SIGSTOP)
    table.row("frozen engine -> unhealthy", rows.until(launch["id"], "unhealthy"), "s", "< 20 s")
    os.kill(launch["pid"], signal.SIGCONT)


def measure_adoption(console: Console, table: Table) -> None:
    engines = {one["launch"]["id"]: one["launch"]["pid"] for one in deploy(console, 5)}
    console.end(signal.SIGKILL)
    (console.data / "reconciled").unlink()
    began = time.monotonic()
    console.start()
    after = {one["launch"]["id"]: one["launch"]["pid"] for one in deploy(console, 5)}
    table.row(
        "SIGKILL, start -> 5 engines taken up (with the start)",
        time.monotonic() - began,
        "s",
        "< 2 s + start",
    )
    assert after == engines


def _run_again(console: Console, instance_id: int) -> dict[str, Any]:
    before = (console.instance(instance_id)["launch"] or {}).get("state")
    if before != "running":
        console.api("POST", f"/api/models/{instance_id}/start")
    launch: dict[str, Any] = console.reaches(instance_id, "running")["launch"]
    return launch


def _until(look: Callable[[], bool], within: float = 60.0) -> float:
    """The moment, by the monotonic clock, at which it became true."""
    deadline = time.monotonic() + within
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL / 4)
    return time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer engines, shorter looks")
    quick = parser.parse_args().quick
    table = Table()
    with tempfile.TemporaryDirectory(prefix="llmops-supervision-") as folder:
        console = Console(
            Path(folder) / "data",
            LLMOPS_MAX_INSTANCES="60",
            LLMOPS_LAUNCH_PORTS="20000-20099",
            LLMOPS_STARTS_AT_ONCE="4",
        )
        counts, seconds = ([0, 5], 15.0) if quick else ([0, 5, 50], 60.0)
        try:
            console.start()
            console.make_administrator()
            measure_ends(console, table, 5 if quick else 20)
            measure_adoption(console, table)
            # Readings of the machine and of the engines' counters are monitoring's: once with them, once without.
            measure_load(console, table, counts, seconds, "with readings at 1 Hz")
            console.environment["LLMOPS_SAMPLE_EVERY"] = "3600"
            console.end()
            console.start()
            measure_load(console, table, counts[-1:], seconds, "supervision alone")
            remove_but(console, 5)
            measure_load(console, table, [5], seconds, "supervision alone")
        finally:
            console.close()


if __name__ == "__main__":
    main()
