"""Whether the dashboard tells the truth: `python -m benchmarks.agreement [--quick]`.

Two real engines, each on a core of its own, under a small load of streamed answers. Beside the dashboard's tokens per
second and time to first token, as its socket sends them, stand those that the clients measured in the same minute. The
model is of the shape of SmolLM2 135M, without weights of any meaning: it takes as long, and nothing is fetched.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import aiohttp
from websockets.asyncio.client import connect

from instances.vllm import engines
from tests.console import ROOT, Console

SHAPE = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
    **{"num_key_value_heads": 3, "max_position_embeddings": 2048, "layer_types": ["full_attention"] * 30},
}
NAMES = ("left", "right")
WARM = 15.0  # seconds of load before anything counts
WORDS = (
    "a model answers each question that people ask of it about their machine and the time it takes".split()
)


@dataclass
class Client:
    """What one engine's clients saw."""

    tokens: list[float] = field(default_factory=list)  # when each came
    first: list[tuple[float, float]] = field(default_factory=list)  # when it came, seconds since the question
    miscounted: int = 0  # tokens that came in no chunk of their own


def make_model(folder: Path) -> Path:
    shutil.copytree(ROOT / "demo" / "tiny-chat", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | SHAPE))
    return folder


async def _ask(session: aiohttp.ClientSession, url: str, name: str, seen: Client) -> None:
    question = " ".join(random.choices(WORDS, k=300))
    body = {
        "model": name,
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": random.randrange(16, 48),
        "ignore_eos": True,
        "return_token_ids": True,
    }
    began, came, said = time.monotonic(), 0, 0
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            now, chunk = time.monotonic(), json.loads(line[6:])
            if chunk.get("usage"):
                said = chunk["usage"]["completion_tokens"]
            ids = [one for choice in chunk["choices"] for one in choice.get("token_ids") or ()]
            if ids and not came:
                seen.first.append((now, now - began))
            came += len(ids)
            seen.tokens += [now] * len(ids)
    seen.miscounted += abs(said - came)


async def _load(console: Console, name: str, seen: Client, until: float) -> None:
    headers = {"Authorization": f"Bearer {console.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while time.monotonic() < until:
            await _ask(session, console.url, name, seen)
            await asyncio.sleep(random.uniform(1, 2))


async def _watch(console: Console, cookie: str, until: float) -> dict[str, list[tuple[float, str]]]:
    """Every figure that the dashboard was sent, and when."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    address = f"ws{console.url.removeprefix('http')}/ws/live/?page=dashboard&show=all"
    headers = {"Cookie": cookie, "Origin": console.url}
    async with connect(address, additional_headers=headers, max_size=None) as socket:
        while (left := until - time.monotonic()) > 0:
            try:
                message = str(await asyncio.wait_for(socket.recv(), left))
            except TimeoutError:
                break
            if message.startswith("{"):
                for figure, value in json.loads(message).items():
                    found[figure].append((time.monotonic(), value))
    return found


def over(values: list[tuple[float, str]], begin: float, end: float) -> float:
    """Mean of a figure over this time: it is sent only when it changes."""
    numbers = [(at, float(text.replace(",", "")) if text[0].isdigit() else 0.0) for at, text in values]
    whole = 0.0
    for (at, value), (until, _) in zip(numbers, [*numbers[1:], (end, 0.0)], strict=True):
        whole += value * max(0.0, min(until, end) - max(at, begin))
    return whole / (end - begin)


async def _run(console: Console, cookie: str, ids: dict[str, int], seconds: float) -> None:
    began = time.monotonic()
    end = began + WARM + seconds
    seen = {name: Client() for name in NAMES}
    watching = asyncio.create_task(_watch(console, cookie, end))
    await asyncio.gather(*(_load(console, name, seen[name], end) for name in NAMES))
    figures = await watching
    print("| engine | figure | dashboard | clients | ratio |\n| --- | --- | --- | --- | --- |")
    for name in NAMES:
        prefix, mine = f"instance-{ids[name]}", seen[name]
        assert not mine.miscounted, f"{mine.miscounted} tokens came in no chunk"
        first = [span for at, span in mine.first if at >= end - 60]
        assert first, f"{name} stood still: no answer began in the last minute"
        # The dashboard's rate is of the five seconds before, its first token of the minute before.
        shown = over(figures[f"{prefix}-tokens"], began + WARM, end)
        told = mean(
            sum(at - 5 <= one < at for one in mine.tokens) / 5
            for at in (began + WARM + step for step in range(int(seconds)))
        )
        print(f"| {name} | tokens/s | {shown:.1f} | {told:.1f} | {shown / told:.3f} |")
        minute = median(first) * 1000
        last = float(figures[f"{prefix}-first_token"][-1][1].replace(",", ""))
        print(f"| {name} | TTFT p50, ms | {last:.0f} | {minute:.0f} | {last / minute:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one minute instead of three")
    given = parser.parse_args()
    engine = engines.find()
    assert not isinstance(engine, engines.Missing), engine.reason
    with tempfile.TemporaryDirectory(prefix="llmops-bench-") as folder:
        console = Console(Path(folder) / "data", vllm=engine.path)
        model = make_model(Path(folder) / "data" / "models" / "smol")
        console.start()
        try:
            console.make_administrator()
            found = {}
            for core, name in enumerate(NAMES):
                body = {
                    "name": name,
                    "model": str(model),
                    "dtype": "bfloat16",
                    "args": {"load-format": "dummy", "enforce-eager": True},
                    # Without it, two engines on the same cores can starve each other for minutes.
                    "env": {"VLLM_CPU_OMP_THREADS_BIND": str(core)},
                }
                answer = console.api("POST", "/api/models/deploy", json=body)
                assert answer.status_code == 201, answer.text
                found[name] = answer.json()["id"]
                console.reaches(found[name], "running", within=300)
            browser = console.signed_in("mia", "a-long-password")
            cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
            asyncio.run(_run(console, cookie, found, 60 if given.quick else 180))
        finally:
            console.close()


if __name__ == "__main__":
    main()
