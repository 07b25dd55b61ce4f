"""The owner's headline figures: `python -m benchmarks.headline [--quick] [--no-lighthouse]`.

API answers, the way from a change to a browser, connections, memory, the first page, its weight, Lighthouse; each
beside its goal, and beside a peer or a limit that was measured in the same run. Figures are medians of several runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks import headline_browser
from benchmarks.headline_browser import row
from tests.console import ROOT, Console

MB = 1_000_000
BARE = "import django, resource; django.setup(); import time; print('ready', flush=True); time.sleep(60)"


# ---------------------------------------------------------------- answers


def answers(console: Console, runs: int) -> None:
    instance = console.api("GET", "/api/models/list").json()[0]["id"]
    one = f"/api/models/{instance}"
    paths = (
        "/api/system/status",
        "/api/system/gpu",
        "/api/models/list",
        one,
        f"{one}/logs",
        f"{one}/launches",
    )
    with httpx.Client(base_url=console.url, headers={"Authorization": f"Bearer {console.key}"}) as client:

        def spans(path: str) -> list[float]:
            found = []
            for _ in range(runs + 3):
                began = time.perf_counter()
                assert client.get(path).status_code == 200, path
                found.append(1000 * (time.perf_counter() - began))
            return found[3:]

        limit = median(spans("/healthz"))
        every = [span for path in (*paths, f"{one}/revisions", "/v1/models") for span in spans(path)]
        slowest = max((median(spans(path)), path) for path in paths)
    here = median(every)
    beside = f"{limit:.1f} ms, /healthz"
    row("API answers, median", f"{here:.1f} ms", "10 ms", beside, f"{here / limit:.1f}")
    row("API answers, p95", f"{quantiles(every, n=20)[-1]:.1f} ms", "50 ms", f"slowest {slowest[1]}")


# ---------------------------------------------------------------- sockets


@contextmanager
def browser_cookie(console: Console) -> Iterator[str]:
    client = console.signed_in("mia", "a-long-password")
    yield "; ".join(f"{name}={value}" for name, value in client.cookies.items())


async def _open(console: Console, cookie: str) -> ClientConnection:
    address = f"ws{console.url.removeprefix('http')}/ws/live/?page=dashboard"
    headers = {"Cookie": cookie, "Origin": console.url}
    return await connect(
        address, additional_headers=headers, compression=None, max_size=None, open_timeout=60
    )


async def _delay(console: Console, cookie: str, runs: int) -> tuple[float, float]:
    """Milliseconds from the answer to a change until the page has it, and of a ping."""
    headers = {"Authorization": f"Bearer {console.key}"}
    spans, pings = [], []
    async with httpx.AsyncClient(base_url=console.url, headers=headers) as client:
        socket = await _open(console, cookie)
        await asyncio.sleep(1)
        for number in range(runs):
            pong = await socket.ping()
            pings.append(1000 * await pong)
            came = asyncio.create_task(_until(socket, f"new-{number}"))
            await asyncio.sleep(0.3)
            body = {"name": f"new-{number}", "preset": "tiny-demo", "start": False}
            made = await client.post("/api/models/deploy", json=body)
            began = time.perf_counter()
            ended = await asyncio.wait_for(came, 30)
            spans.append(1000 * max(ended - began, 0.0))
            await client.delete(f"/api/models/{made.json()['id']}")
        await socket.close()
    return median(spans), median(pings)


async def _until(socket: ClientConnection, word: str) -> float:
    while True:
        message = str(await socket.recv())
        if word in message:
            return time.perf_counter()


async def _many(console: Console, cookie: str, count: int) -> tuple[int, int, float]:
    """How many of so many sockets opened, how many were pushed to, and how long the opening took."""
    began = time.perf_counter()
    opened: list[ClientConnection] = []
    for start in range(0, count, 25):
        found = await asyncio.gather(
            *(_open(console, cookie) for _ in range(min(25, count - start))), return_exceptions=True
        )
        opened += [one for one in found if isinstance(one, ClientConnection)]
    spent = time.perf_counter() - began

    async def hears(socket: ClientConnection) -> bool:
        try:
            await asyncio.wait_for(socket.recv(), 30)
        except (TimeoutError, OSError):
            return False
        return True

    heard = sum(await asyncio.gather(*map(hears, opened)))
    await asyncio.gather(*(socket.close() for socket in opened), return_exceptions=True)
    return len(opened), heard, spent


def sockets(console: Console, quick: bool) -> None:
    with browser_cookie(console) as cookie:
        delay, ping = asyncio.run(_delay(console, cookie, 5 if quick else 25))
        row("WebSocket delay, there and back", f"{ping:.2f} ms", "10 ms")
        beside = "database, templates and socket, beside the supervisor that wakes"
        row("From an answered change to the page that shows it", f"{delay:.1f} ms", "", beside)
        wanted = 100 if quick else 500
        opened, heard, spent = asyncio.run(_many(console, cookie, wanted))
        files = os.sysconf("SC_OPEN_MAX")
        row(
            "Live pages at once",
            f"{opened}, {heard} pushed to, in {spent:.1f} s",
            "500",
            f"{files} files may be open",
        )


# ---------------------------------------------------------------- memory


def memory(console: Console) -> None:
    assert console.process is not None
    process = psutil.Process(console.process.pid)
    rss, pss = process.memory_info().rss, process.memory_full_info().pss
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "llmops.settings",
        "LLMOPS_DATA": str(console.data),
    }
    command = [sys.executable, "-c", BARE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        peer = psutil.Process(bare.pid).memory_info().rss
        bare.kill()
    beside = f"{peer / MB:.0f} MB, Django with our apps alone"
    row("Console memory, resident", f"{rss / MB:.0f} MB", "150 MB", beside, f"{rss / peer:.1f}")
    row("of that its own (PSS)", f"{pss / MB:.0f} MB", "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--no-lighthouse", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmops-bench-") as folder:
        console = Console(Path(folder) / "data")
        console.start()
        try:
            console.make_administrator()
            body = {"name": "e0", "preset": "tiny-demo"}
            console.reaches(console.api("POST", "/api/models/deploy", json=body).json()["id"], "running")
            print("| figure | here | goal | beside it | ratio |\n| --- | --- | --- | --- | --- |")
            answers(console, 10 if given.quick else 40)
            headline_browser.first_page(console, quick=given.quick)
            memory(console)
            sockets(console, given.quick)
            if not given.no_lighthouse:
                headline_browser.lighthouse(console)
        finally:
            console.close()


if __name__ == "__main__":
    main()
