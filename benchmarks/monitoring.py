"""What it costs to measure, to show and to keep: `python -m benchmarks.monitoring [--quick] [--hour] [PART ...]`.

PART is tick, charts, growth or viewers; all without one. Beside our figures stand those of the naive way in the same
run: every page parsed whole by `prometheus_client`, and a row for every reading. Figures are medians; nothing is
asserted, for machines differ. `--hour` watches the console's memory for an hour instead of two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

DATA = tempfile.TemporaryDirectory(prefix="llmops-bench-")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops.settings")
os.environ["LLMOPS_DATA"] = DATA.name
os.environ.pop("DATABASE_URL", None)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from benchmarks import monitoring_viewers  # noqa: E402
from benchmarks.monitoring_engines import Engines, fake_gpus, reading  # noqa: E402
from monitoring import history, panels  # noqa: E402
from monitoring.announce import readings_taken  # noqa: E402
from monitoring.host import HostReader  # noqa: E402
from monitoring.models import HOUR, STEPS, TICK, Sample, Subject  # noqa: E402
from monitoring.nvml import GpuReader  # noqa: E402
from monitoring.sampler import Readings, Sampler  # noqa: E402

DAY = 24 * HOUR
INSTANCES = 10  # of the history
GOALS = {0: "1 %", 5: "2 %", 50: "8 %"}


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    print(f"\n## {title}\n")
    row(*cells)
    row(*("---" for _ in cells))


def timed(work: Callable[[], object], runs: int) -> float:
    """Median of so many runs, in milliseconds."""
    spans = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        spans.append(1000 * (time.perf_counter() - began))
    return median(spans)


def database_bytes() -> int:
    """Without pages that were given free."""
    with sqlite3.connect(Path(DATA.name) / "db.sqlite3", isolation_level=None) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (Path(DATA.name) / "db.sqlite3").stat().st_size


# ---------------------------------------------------------------- a tick


async def ours(engines: Engines, seconds: int) -> float:
    """Percent of one core for reading, announcing and writing at 1 Hz, as the supervisor does it."""
    sampler = Sampler(HostReader(Path(DATA.name)), GpuReader(), lambda: engines.targets)
    recorder, writer = history.Recorder(), history.Writer()

    async def publish(readings: Readings) -> None:
        await readings_taken(readings)
        recorder.take(readings)
        if ticks := recorder.due():
            await asyncio.to_thread(writer.write, ticks, readings.to_text())
            await asyncio.to_thread(writer.tidy)

    await sampler.step()
    task = asyncio.create_task(sampler.run(publish))
    await asyncio.sleep(2)
    before, began = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    share = 100 * (time.process_time() - before) / (time.monotonic() - began)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return share


async def naive(engines: Engines, seconds: int) -> float:
    """The same for whole pages in `prometheus_client`, and a row for each of their samples."""
    import httpx

    with sqlite3.connect(Path(DATA.name) / "naive.sqlite3", isolation_level=None) as rows:
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=NORMAL")
        rows.execute("CREATE TABLE IF NOT EXISTS reading (subject TEXT, metric TEXT, at REAL, value REAL)")
        rows.execute("CREATE INDEX IF NOT EXISTS reading_by ON reading (subject, metric, at)")
        host, gpu = HostReader(Path(DATA.name)), GpuReader()
        async with httpx.AsyncClient(trust_env=False) as client:
            before, began = time.process_time(), time.monotonic()
            while time.monotonic() - began < seconds:
                tick, now = time.monotonic(), time.time()
                host.read()
                gpu.read()
                found: list[tuple[str, str, float, float]] = []
                for target in engines.targets:
                    page = (await client.get(target.metrics_url or "")).text
                    found += [
                        (target.subject, sample.name, now, sample.value)
                        for family in text_string_to_metric_families(page)
                        for sample in family.samples
                        if sample.name.startswith("vllm:")
                    ]
                rows.execute("BEGIN")
                rows.executemany("INSERT INTO reading VALUES (?, ?, ?, ?)", found)
                rows.execute("COMMIT")
                await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - tick)))
            return 100 * (time.process_time() - before) / (time.monotonic() - began)


def tick(quick: bool) -> None:
    head(
        "A tick at 1 Hz, with 8 GPUs: share of one core", "instances", "here", "goal", "naive", "naive / here"
    )
    fake_gpus(8, Path(DATA.name))
    seconds = 6 if quick else 20
    for count in GOALS:
        with Engines(count) as engines:
            here = median(asyncio.run(ours(engines, seconds)) for _ in range(1 if quick else 3))
            peer = asyncio.run(naive(engines, seconds))
        row(count, f"{here:.2f} %", GOALS[count], f"{peer:.1f} %", f"{peer / here:.1f}")


# ---------------------------------------------------------------- history and charts


def samples(step: int, begin: int, end: int, subject: Subject) -> Iterator[Sample]:
    for at in range(begin // step * step, end // step * step, step):
        yield Sample(subject=subject, step=step, at=at, values=reading(step))


def filled() -> None:
    """Thirty days of ten instances, as they are kept."""
    Sample.objects.all().delete()
    now = int(time.time())
    kept = {**history.KEPT, HOUR: 30 * DAY}
    for number in range(INSTANCES):
        subject, _ = Subject.objects.get_or_create(name=f"launch:{number}")
        for step, age in kept.items():
            Sample.objects.bulk_create(samples(step, now - age, now, subject), batch_size=500)


def charts(quick: bool) -> None:
    filled()
    with sqlite3.connect(Path(DATA.name) / "naive.sqlite3") as rows:
        rows.execute("CREATE TABLE IF NOT EXISTS reading (subject TEXT, metric TEXT, at REAL, value REAL)")
        rows.execute("CREATE INDEX IF NOT EXISTS reading_by ON reading (subject, metric, at)")
        now = time.time()
        rows.executemany(
            "INSERT INTO reading VALUES ('launch:3', 'cpu', ?, ?)",
            ((now - DAY + second, float(second % 100)) for second in range(DAY)),
        )
        rows.commit()
        grouped = "SELECT CAST(at / 600 AS INT), avg(value) FROM reading WHERE subject = ? AND metric = ? GROUP BY 1"

        def naively() -> None:
            rows.execute(grouped, ("launch:3", "cpu")).fetchall()

        head(
            f"Charts over 30 days of {INSTANCES} instances, on the server",
            "chart",
            "here",
            "goal",
            "a row per reading",
        )
        runs = 5 if quick else 25
        peer = timed(naively, runs)
        for slug in ("24h", "30d"):
            span = panels.RANGES[slug]
            for what, some in (
                ("CPU", panels.LAUNCH[9:10]),
                ("first token, p50 and p95", panels.LAUNCH[1:2]),
            ):
                spent = timed(lambda some=some, span=span: panels.charts(some, ["launch:3"], span), runs)  # type: ignore[misc]
                beside = f"{peer:.1f} ms, of one day" if (slug, what) == ("24h", "CPU") else ""
                row(f"{span.label}, {what}", f"{spent:.1f} ms", "50 ms", beside)
            spent = timed(lambda span=span: panels.charts(panels.LAUNCH, ["launch:3"], span), runs)  # type: ignore[misc]
            row(f"{span.label}, all {len(panels.LAUNCH)} together", f"{spent:.1f} ms", "", "")


def growth(quick: bool) -> None:
    """What a day adds to the database, and what is left of it."""
    head(f"The database, per day and {INSTANCES} busy instances", "figure", "here", "a row per reading")
    Sample.objects.all().delete()
    empty = database_bytes()
    subject, _ = Subject.objects.get_or_create(name="launch:0")
    span = HOUR if quick else 3 * HOUR
    now = int(time.time())
    Sample.objects.bulk_create(samples(TICK, now - span, now, subject), batch_size=500)
    per_row = (database_bytes() - empty) / (span / TICK)
    rows_a_day = INSTANCES * sum(DAY // step for step in STEPS)
    kept = INSTANCES * per_row * (sum(age / step for step, age in history.KEPT.items()) + 40 * 24)
    naive_rows = len(reading(1)) * DAY * INSTANCES
    row("bytes of a row", f"{per_row:,.0f}", "about 90")
    row("rows written", f"{rows_a_day:,}", f"{naive_rows:,.0f}")
    row("written, MB", f"{rows_a_day * per_row / 1e6:,.0f}", f"{naive_rows * 90 / 1e6:,.0f}")
    row("kept for good a day, MB", f"{INSTANCES * per_row * 24 / 1e6:.2f}", f"{naive_rows * 90 / 1e6:,.0f}")
    row("never more than, MB (all ages full)", f"{kept / 1e6:,.0f}", "grows without end")


PARTS: dict[str, Callable[[bool], None]] = {"tick": tick, "charts": charts, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="tick, charts, growth, viewers")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--hour", action="store_true", help="watch the console's memory for an hour")
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    for name in given.parts or (*PARTS, "viewers"):
        if name == "viewers":
            monitoring_viewers.measure(quick=given.quick, seconds=3600 if given.hour else 120)
        else:
            PARTS[name](given.quick)


if __name__ == "__main__":
    main()
