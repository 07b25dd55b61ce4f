"""Viewers of a console for `benchmarks.monitoring`: the bytes that each is sent, and the memory that all cost."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import httpx
import psutil
from websockets.asyncio.client import connect

from tests.console import Console

VIEWERS = 20
ENGINES = 3
MIB = 2**20
PAGES = ("page=dashboard&show=all", "page=machine&span=15m", "page=instance&instance=1&tab=metrics&span=15m")


async def watch(console: Console, cookie: str, page: str, seconds: float) -> tuple[int, int, int]:
    """Bytes of the first sight, bytes and messages of what follows."""
    address = f"ws{console.url.removeprefix('http')}/ws/live/?{page}"
    headers = {"Cookie": cookie, "Origin": console.url}
    first = sent = messages = 0
    async with connect(address, additional_headers=headers, compression=None, max_size=None) as socket:
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(socket.recv(), left)
            except TimeoutError:
                break
            size = len(message if isinstance(message, bytes) else message.encode())
            if time.monotonic() - began < 3:
                first = max(first, size)
            else:
                sent, messages = sent + size, messages + 1
    return first, sent, messages


async def _all(console: Console, cookie: str, seconds: float) -> list[tuple[int, int, int]]:
    watching = (watch(console, cookie, PAGES[n % len(PAGES)], seconds) for n in range(VIEWERS))
    return list(await asyncio.gather(*watching))


def _load(console: Console, until: threading.Event) -> None:
    with httpx.Client(
        base_url=console.url, headers={"Authorization": f"Bearer {console.key}"}, timeout=30
    ) as client:
        while not until.is_set():
            body = {
                "model": f"e{random.randrange(ENGINES)}",
                "messages": [{"role": "user", "content": "Hello"}],
            }
            client.post("/v1/chat/completions", json=body)
            time.sleep(0.2)


def measure(*, quick: bool, seconds: float) -> None:
    seconds = 20 if quick else seconds
    with tempfile.TemporaryDirectory(prefix="llmops-bench-") as folder:
        console = Console(Path(folder) / "data")
        console.start()
        ended = threading.Event()
        load = threading.Thread(target=_load, args=(console, ended))
        try:
            console.make_administrator()
            assert console.process is not None
            process = psutil.Process(console.process.pid)
            idle = process.memory_info().rss
            for number in range(ENGINES):
                body = {"name": f"e{number}", "preset": "tiny-demo", "env": {"FAKE_VLLM_TOKENS": "40"}}
                body["env"] |= {"FAKE_VLLM_TOKEN_DELAY": "0.01"}  # type: ignore[operator]
                answer = console.api("POST", "/api/models/deploy", json=body)
                console.reaches(answer.json()["id"], "running")
            browser = console.signed_in("mia", "a-long-password")
            cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
            load.start()
            before, began = process.cpu_times(), time.monotonic()
            seen = asyncio.run(_all(console, cookie, seconds))
            after, span = process.cpu_times(), time.monotonic() - began
            rss, pss = process.memory_info().rss, process.memory_full_info().pss
        finally:
            ended.set()
            load.join()
            console.close()
    print(f"\n## {VIEWERS} viewers for {seconds:.0f} s, {ENGINES} engines under load\n")
    print("| page | first sight | per viewer and second | naive: all of it each second | naive / here |")
    print("| --- | --- | --- | --- | --- |")
    for number, page in enumerate(PAGES):
        mine = seen[number :: len(PAGES)]
        first = median(one[0] for one in mine)
        rate = median(one[1] for one in mine) / (seconds - 3)
        name = page.partition("&")[0].removeprefix("page=")
        print(f"| {name} | {first:,.0f} B | {rate:,.0f} B | {first:,.0f} B | {first / max(rate, 1):.0f} |")
    cpu = 100 * (after.user + after.system - before.user - before.system) / span
    print("\n| console | here | goal |\n| --- | --- | --- |")
    print(f"| resident when it has started | {idle / MIB:.0f} MiB | |")
    print(f"| resident after {seconds:.0f} s with {VIEWERS} viewers | {rss / MIB:.0f} MiB | 150 MB |")
    print(f"| of that its own (PSS) | {pss / MIB:.0f} MiB | |")
    print(f"| processor, all viewers and the load together | {cpu:.1f} % of one core | |", flush=True)
