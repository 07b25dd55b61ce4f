"""How fast logs are kept, searched and brought to browsers, beside peers and what the machine can do.

    python -m benchmarks.logs [--quick] [--runs N] [keep] [search] [viewers]

Figures are medians of several runs. Nothing is asserted: a table is for reading.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from instances.launchers.base import LaunchSpec
from instances.launchers.local import LocalLauncher
from instances.logs import store
from instances.logs.writer import Writer
from tests.console import Console, eventually, free_port

ROOT = Path(__file__).resolve().parent.parent
MB = 1_000_000
LINE = (
    b"(APIServer pid=21132) INFO 11-25 03:54:48 [loggers.py:123] Engine 000:"
    b" Avg prompt throughput: 412.6 tokens/s, %6d\n"
)
BURST = 0.01  # seconds between two writes of the writer that is looked at


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    print(f"\n## {title}\n")
    row(*cells)
    row(*("---" for _ in cells))


def seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def timed(what: Callable[[], object], runs: int) -> float:
    return median(seconds(what) for _ in range(runs))


# ---------------------------------------------------------------- keeping


def keep(folder: Path, size: int, runs: int) -> None:
    """An engine that says very much, through the shim, and through what has less to do."""
    source = folder / "source"
    block = b"".join(LINE % number for number in range(10_000))
    source.write_bytes(block * (size // len(block)))
    size = source.stat().st_size
    rates: dict[str, list[float]] = {"pipe": [], "cat": [], "shim": [], "busy": []}
    memory = 0.0
    for run in range(runs):
        rates["pipe"].append(size / seconds(lambda: _drain(source)) / MB)
        rates["cat"].append(size / seconds(lambda: _cat(source, folder / "copy")) / MB)
        took, memory, busy = _shim(source, folder / f"launches{run}")
        rates["shim"].append(size / took / MB)
        rates["busy"].append(size / busy / MB)
    limit = median(rates["pipe"])
    head(f"Keeping {size // MB} MB of output", "what", "MB/s", "of a bare pipe", "goal")
    for name, words in {
        "pipe": "a pipe read and thrown away (limit)",
        "cat": "`cat >file` (peer)",
        "shim": "the shim",
        "busy": "the shim, per second of its CPU time (where others share the cores)",
    }.items():
        rate = median(rates[name])
        row(words, f"{rate:.0f}", f"{rate / limit:.2f}", "> 300" if name in ("shim", "busy") else "")
    row("the shim's memory, MB at its highest", f"{memory:.1f}", "", "< 12")


def _drain(source: Path) -> None:
    with subprocess.Popen(["cat", source], stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while process.stdout.read(64 * 1024):
            pass


def _cat(source: Path, copy: Path) -> None:
    with copy.open("wb") as file:
        subprocess.run(["cat", source], stdout=file, check=True)
    copy.unlink()


def _shim(source: Path, root: Path) -> tuple[float, float, float]:
    """Seconds from the launch's start to the record of its end, the shim's most memory in MB, its CPU seconds."""
    launcher = LocalLauncher(root)
    directory = root / "1"
    began = time.perf_counter()
    launcher.start(LaunchSpec(1, ("/bin/cat", str(source)), {}, directory))
    most = busy = 0.0
    identity = directory / "shim.json"
    while not store.has_ended(directory):
        if identity.exists():
            with suppress(psutil.Error):
                shim = psutil.Process(json.loads(identity.read_text())["shim"]["pid"])
                most = max(most, shim.memory_info().rss / MB)
                times = shim.cpu_times()
                busy = times.user + times.system
        time.sleep(0.005)
    took = time.perf_counter() - began
    eventually(lambda: launcher.running() == [])
    return took, most, busy


# ---------------------------------------------------------------- searching


def search(folder: Path, size: int, runs: int) -> None:
    head(
        f"Searching {size // MB} MB",
        "log",
        "search",
        "lines found",
        "s",
        "`grep -c -i`, s",
        "ratio",
        "goal, s",
    )
    for kind, tail in {"ASCII": b"", "not ASCII": " ██▄ 模型".encode(), "ANSI colours": b"\x1b[0m"}.items():
        directory = folder / kind.replace(" ", "-")
        directory.mkdir()
        _fill(directory, size, tail)
        for word, words in {"step 77777 ": "rare", "zzneedle": "none", "Prompt": "frequent"}.items():
            found = len(store.read(directory, search=word).lines)
            ours = timed(partial(store.read, directory, search=word), runs)
            theirs = timed(partial(_grep, word, directory), runs)
            row(kind, words, found, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.1f}", "< 1")
        ours = timed(partial(store.first_error, directory), runs)
        row(kind, "first error, none", 0, f"{ours:.2f}", "", "", "< 1")


def _grep(word: str, directory: Path) -> None:
    subprocess.run(
        ["grep", "-c", "-i", word, str(directory / "log")], stdout=subprocess.PIPE
    )  # it reads no further for /dev/null


def _fill(directory: Path, size: int, tail: bytes) -> None:
    log = Writer(str(directory), 16 * size)
    number = written = 0
    colour = b"\x1b[32m" if b"\x1b" in tail else b""
    while written < size:
        lines = []
        first, number = number, number + 500
        for at in range(first, number):
            lines.append(colour + (LINE % at)[:-1] + tail + b"\n")
            if at % 77_777 == 0:
                lines.append(b"INFO step %d \n" % at)
        log.feed(b"".join(lines))
        written = store.size(directory)
    log.close()


# ---------------------------------------------------------------- viewers


def viewers(folder: Path, duration: float, runs: int, rates: list[int], counts: list[int]) -> None:
    """Lines to browsers: ours, and one message to a group for each line."""
    console = Console(folder / "data")
    console.data.mkdir()
    made = json.loads(console.manage("shell", "-v", "0", "-c", _ROWS).splitlines()[-1])
    head(
        f"Log to browser, {duration:g} s each, Daphne",
        *(
            "design",
            "viewers",
            "lines/s",
            "delivered",
            "median, ms",
            "p99, ms",
            "worst, ms",
            "CPU: server, clients, %",
            "load",
        ),
    )
    for count in counts:
        for rate in rates:
            for design in ("ours", "naive"):
                results = []
                for _ in range(runs):
                    directory = console.data / "launches" / str(made["launches"].pop())
                    directory.mkdir(parents=True)
                    results.append(_watch(console, design, directory, made, count, rate, duration))
                figures = [median(values) for values in zip(*results, strict=True)]
                share, middle, late, worst, server, clients, load = figures
                row(
                    design, count, f"{rate:,}", f"{share:.1%}", f"{middle:.0f}", f"{late:.0f}", f"{worst:.0f}",
                    f"{server:.0f}, {clients:.0f}", f"{load:.1f}",
                )  # fmt: skip
    print("\nGoal: all delivered, p99 under 250 ms with 200 viewers at 2,000 lines/s.")


_ROWS = """
import json
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.models import User
from tests.instances.made import make_instance, make_launch
from instances.states import State
owner = User.objects.create_superuser("bench", password="of-a-benchmark")
instance = make_instance(owner, "bench")
launches = [make_launch(instance, State.STOPPED).pk for _ in range(200)]
print(json.dumps({"instance": instance.pk, "launches": launches}))
"""


def _watch(
    console: Console,
    design: str,
    directory: Path,
    made: dict[str, int],
    count: int,
    rate: int,
    duration: float,
) -> tuple[float, ...]:
    """The share that arrived, latencies in ms (median, 99 %, worst), CPU of server and clients in percent, load."""
    lines = int(rate * duration)
    (directory / "log").touch()
    with _daphne(console, design, directory) as (port, server):
        if design == "ours":
            console.key = console.key or console.manage("create_api_key", "bench").split()[-1]
            path = f"/api/models/ws/logs/{made['instance']}?launch={directory.name}"
        else:
            path = "/"
        address = f"ws://127.0.0.1:{port}{path}"
        numbers = [str(count), str(lines), str(duration + 10)]
        clients = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.log_clients", address, *numbers, console.key],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert clients.stdout is not None
        assert clients.stdout.readline() == "ready\n"
        before, began = server.cpu_times(), time.monotonic()
        _write(directory, rate, lines)
        took, after = time.monotonic() - began, server.cpu_times()
        answer = json.loads(clients.stdout.read())
        clients.wait()
    busy = (after.user + after.system - before.user - before.system) / took * 100
    times = answer["latencies"] or [float("nan")]
    share = answer["received"] / (lines * count)
    late = times[int(len(times) * 0.99)]
    return share, median(times), late, times[-1], busy, answer["cpu"] / took * 100, os.getloadavg()[0]


def _write(directory: Path, rate: int, lines: int) -> None:
    """So many lines a second, in bursts; each says when it was written."""
    log = Writer(str(directory), 1 << 30)
    began = time.monotonic()
    written = 0
    while written < lines:
        due = min(lines, int((time.monotonic() - began) * rate))
        if due > written:
            stamp = b"T=%d. " % time.monotonic_ns()
            log.feed(b"".join(b"INFO " + stamp + LINE % number for number in range(written, due)))
            written = due
        time.sleep(BURST)


@contextmanager
def _daphne(console: Console, design: str, directory: Path) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    application = "llmops.asgi:application" if design == "ours" else "benchmarks.log_naive:application"
    environment = {**console.environment, "LOG_DIRECTORY": str(directory)}
    if design == "ours":
        environment["DJANGO_SETTINGS_MODULE"] = "llmops.settings"
    else:
        environment.pop("DJANGO_SETTINGS_MODULE", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), application],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        eventually(lambda: _listens(process.pid, port), within=60)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _listens(pid: int, port: int) -> bool:
    return any(
        found.laddr.port == port
        for found in psutil.Process(pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logs")
    parser.add_argument("--quick", action="store_true", help="smaller, shorter, once")
    parser.add_argument("--runs", type=int, default=0, help="of which the median is shown")
    parser.add_argument("parts", nargs="*", choices=[[], "keep", "search", "viewers"])
    wanted = parser.parse_args()
    parts = wanted.parts or ["keep", "search", "viewers"]
    runs = wanted.runs or (1 if wanted.quick else 3)
    size = 100 if wanted.quick else 400
    print(
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}, medians of {runs}"
    )
    with tempfile.TemporaryDirectory(prefix="llmops-bench-") as name:
        folder = Path(name)
        if "keep" in parts:
            keep(folder, size * MB, runs)
        if "search" in parts:
            search(folder, 100 * MB, runs)
        if "viewers" in parts:
            viewers(folder, 3 if wanted.quick else 10, runs, [100, 2000], [1, 50, 200])


if __name__ == "__main__":
    main()
