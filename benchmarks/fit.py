"""How near "Does it fit?" comes: `python -m benchmarks.fit [--quick] [--smollm2 FOLDER] [--form]`.

Well-known models against their published sizes; tiny models, and SmolLM2 where it is, against what the real engine
on this machine logs; and the time that the form takes on the server. Nothing is asserted: machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.fit_models import KNOWN
from instances.vllm import engines
from instances.vllm.fit import tensors
from instances.vllm.fit.estimate import Model, estimate
from instances.vllm.fit.measured import MeasuredReader
from instances.vllm.fit.room import Place, Room
from instances.vllm.fit.settings import Settings

GIB = 2**30
PROGRAM = Path(__file__).with_name("fit_engine.py")
TINY = (("llama-gqa4", 1024), ("llama-gqa4", 300), ("qwen3-mha-tied", 512), ("gemma2-mqa-windows", 8192))
CACHE = 64 * 2**20
SMOLLM2 = "smollm2-135m-instruct"


def known_models() -> None:
    heading = f"{'model (weights from the shape alone)':<40}{'estimated':>16}{'published':>16}{'error':>9}"
    print(f"{heading}{'KV / token':>12}  by hand")
    worst, exact = 0.0, 0
    for known in KNOWN:
        found = estimate(Model(known.config), Settings(), Room())
        weights, kv = found.weights_whole or 0, found.kv
        off = weights / known.bytes - 1
        same = kv is not None and (kv.per_token, kv.per_token_long) == (known.token, known.long)
        worst, exact = max(worst, abs(off)), exact + same
        token = kv.per_token if kv else 0
        verdict = "exact" if same else f"{known.token:,}, {known.long:,}"
        print(f"{known.name:<40}{weights:>16,}{known.bytes:>16,}{off:>+9.3%}{token:>12,}  {verdict}")
    print(
        f"worst weights {worst:.3%} (goal 2 %), KV exact for {exact} of {len(KNOWN)} (goal all)\n", flush=True
    )


def real_engine(smollm2: Path | None, quick: bool) -> None:
    engine = engines.find()
    if isinstance(engine, engines.Missing) or engine.python is None:
        print("no engine here: its part is left out\n")
        return
    if engine.accelerator != "cpu":
        print("the engine here is for GPUs: its part is left out\n")
        return
    heading = f"{f'vLLM {engine.version}':<36}{'weights':>14}{'measured':>14}{'error':>9}"
    print(f"{heading}{'KV tokens':>12}{'logged':>12}{'start':>8}")
    with tempfile.TemporaryDirectory(prefix="llmops-fit-") as folder:
        subprocess.run([engine.python, PROGRAM, "make", folder], check=True, capture_output=True, timeout=300)
        rows = [(Path(folder) / name, context) for name, context in (TINY[:1] if quick else TINY)]
        rows += [(smollm2, 2048)] if smollm2 else []
        for path, context in rows:
            row(engine.python, path, context)
    print()


def row(python: Path, folder: Path, context: int) -> None:
    cache = CACHE * (4 if folder.name == SMOLLM2 else 1)
    began = time.monotonic()
    command = [str(python), str(PROGRAM), "load", str(folder), str(context), str(cache)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
    )
    took = time.monotonic() - began
    reader = MeasuredReader()
    weights = None
    for line in done.stdout.splitlines():
        reader.feed(line)
        if line.startswith("MEASURED "):
            weights = json.loads(line.removeprefix("MEASURED "))["weights"]
    config = json.loads((folder / "config.json").read_text())
    settings = Settings(accelerator="cpu", context=context, cache_bytes=cache, eager=True, in_flight=1)
    room = Room((Place("RAM", 64 * GIB, 64 * GIB),))
    found = estimate(Model(config, tensors.read(folder)), settings, room)
    logged = reader.found.get("tokens")
    if weights is None:
        print(f"{folder.name:<36} did not start:\n" + "\n".join(done.stdout.splitlines()[-12:]))
        return
    off = (found.weights or 0) / weights - 1
    name = f"{folder.name}, {context}"
    same = "" if found.tokens == logged else "  differs"
    line = f"{name:<36}{found.weights:>14,}{weights:>14,}{off:>+9.3%}{found.tokens:>12,}{logged or 0:>12,}"
    print(f"{line}{took:>7.0f}s{same}", flush=True)


def form(requests: int) -> None:
    """Server time of the deploy page through Django's test client, in a database of its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client
    from django.test.utils import setup_test_environment
    from django.urls import reverse

    from accounts.models import User

    setup_test_environment()
    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(
        User.objects.create_superuser("bench"), backend="django.contrib.auth.backends.ModelBackend"
    )
    pages = {"dashboard (peer)": reverse("dashboard"), "deploy": reverse("deploy")}
    print(f"{'page, median of ' + str(requests):<36}{'server time':>14}  goal")
    for name, path in pages.items():
        times = []
        for _ in range(requests):
            began = time.perf_counter()
            answer = client.get(path)
            times.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == 200, answer.status_code
        goal = "< 100 ms" if name == "deploy" else ""
        print(f"{name:<36}{median(times):>11.1f} ms  {goal}", flush=True)


def smollm2_here() -> Path | None:
    folder = Path(os.environ.get("LLMOPS_DATA", "var")) / "models" / SMOLLM2
    return folder if (folder / "config.json").exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one start of the engine")
    parser.add_argument("--smollm2", type=Path, help="the folder of SmolLM2 135M")
    parser.add_argument("--form", action="store_true", help="also the time of the form")
    asked = parser.parse_args()
    known_models()
    real_engine(asked.smollm2 or smollm2_here(), asked.quick)
    if asked.form:
        form(10 if asked.quick else 50)


if __name__ == "__main__":
    main()
