import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from monitoring import sampler
from monitoring.gpu import GpuReadings
from monitoring.host import HostReader, HostReading
from monitoring.nvml import GpuReader
from monitoring.sampler import Readings, Sampler, Target, until_next_tick

PAGE = (Path(__file__).parent / "metrics.txt").read_bytes()
OWN = psutil.Process().pid
msgpack = import_module("msgpack")  # as channels-redis packs messages; it carries no types


class Engine(BaseHTTPRequestHandler):
    """Answers as its path says, and notes who asked with which key."""

    seen: list[tuple[str, str | None]] = []
    over = threading.Event()

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/metrics")
            self.end_headers()
            return
        self.send_response(503 if self.path == "/busy" else 200)
        self.end_headers()
        try:
            if self.path == "/endless":
                while not self.over.is_set():
                    self.wfile.write(b"vllm:num_requests_running 1\n" * 10000)
            elif self.path == "/drip":
                while not self.over.wait(0.1):
                    self.wfile.write(b"v")
            elif self.path == "/large":
                self.wfile.write(PAGE + b"#" * sampler.LARGEST_PAGE)
            else:
                self.wfile.write(PAGE)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader had enough

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[str]:
    Engine.seen = []
    Engine.over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Engine.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much, for a busy machine. What ends by patience alone takes that long."""
    monkeypatch.setattr(sampler, "PATIENCE", 30.0)


def sampler_of(tmp_path: Path, *targets: Target) -> Sampler:
    return Sampler(HostReader(tmp_path), GpuReader(), lambda: targets)


@asynccontextmanager
async def closing(made: Sampler) -> AsyncIterator[Sampler]:
    try:
        yield made
    finally:
        await made.aclose()


def steps(made: Sampler, count: int = 1) -> list[Readings]:
    async def take() -> list[Readings]:
        async with closing(made):
            return [await made.step() for _ in range(count)]

    return asyncio.run(take())


def test_one_step_reads_everything(tmp_path: Path, engine: str, fake_nvml: Callable[..., None]) -> None:
    target = Target("launch:17", OWN, f"{engine}/metrics", "secret")
    first, second = steps(sampler_of(tmp_path, target), 2)
    assert first.host is not None and first.gpus is not None
    assert len(first.gpus.gpus) == 2
    reading = second.targets["launch:17"]
    assert reading.usage is not None and reading.usage.cpu_percent is not None
    assert reading.engine is not None
    assert (reading.engine.running, reading.engine.generation_rate) == (0, 0)
    assert Engine.seen == [("/metrics", "Bearer secret")] * 2


def test_a_machine_without_gpu_loses_only_that(tmp_path: Path, no_driver: None) -> None:
    (read,) = steps(sampler_of(tmp_path))
    assert read.host is not None
    assert read.gpus is not None and read.gpus.gpus == []
    assert read.targets == {}


@pytest.mark.parametrize("path", ["/busy", "/moved", "/large", "/endless", "/drip"])
def test_an_engine_that_misbehaves_loses_only_its_figures(
    tmp_path: Path, engine: str, path: str, no_driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:  # row 30: the engine answers 302, drips, or sends without end
    if path == "/drip":
        monkeypatch.setattr(sampler, "PATIENCE", 3.0)
    good = Target("launch:1", OWN, f"{engine}/metrics", "")
    bad = Target("launch:2", OWN, f"{engine}{path}", "secret")
    (read,) = steps(sampler_of(tmp_path, good, bad))
    assert read.targets["launch:1"].engine is not None
    assert read.targets["launch:2"].engine is None
    assert read.targets["launch:2"].usage is not None
    assert ("/metrics", "Bearer secret") not in Engine.seen  # no redirect was followed


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "http://[", "no address"])
def test_an_engine_that_is_not_there_is_none(tmp_path: Path, url: str, no_driver: None) -> None:
    (read,) = steps(sampler_of(tmp_path, Target("launch:1", None, url, "")))
    assert read.targets["launch:1"] == sampler.TargetReading(None, None)


def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, engine: str, no_driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    (read,) = steps(sampler_of(tmp_path, Target("launch:1", None, f"{engine}/metrics", "secret")))
    assert read.targets["launch:1"].engine is not None


def test_a_target_that_left_is_forgotten(tmp_path: Path, engine: str, no_driver: None) -> None:
    named = [Target("launch:1", None, f"{engine}/metrics", "")]
    made = Sampler(HostReader(tmp_path), GpuReader(), lambda: named)

    async def take() -> list[Readings]:
        async with closing(made):
            first = await made.step()
            kept = named.copy()
            named.clear()
            gone = await made.step()
            named.extend(kept)
            return [first, gone, await made.step()]

    _, gone, back = asyncio.run(take())
    assert gone.targets == {}
    engine_reading = back.targets["launch:1"].engine
    assert engine_reading is not None and engine_reading.generation_rate is None  # it starts anew


@pytest.mark.filterwarnings("error")  # pytest warns of a thread that ended by an exception
def test_a_part_that_cannot_be_read_is_none(tmp_path: Path, no_driver: None) -> None:
    class Broken(HostReader):
        def read(self) -> HostReading:
            raise psutil.AccessDenied(1)

    (read,) = steps(Sampler(Broken(tmp_path), GpuReader(), tuple))
    assert (read.host, read.targets) == (None, {})
    assert read.gpus is not None


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(sampler, "PATIENCE", 0.05)
        yield


def test_a_driver_that_hangs_leaves_its_last_reading_and_one_thread(
    tmp_path: Path, fake_nvml: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sampler_of(tmp_path)

    async def take() -> list[Readings]:
        first = await made.step()
        fake_nvml(HANG=1)
        before = threading.active_count()
        with impatient(monkeypatch):
            hanging = [await made.step() for _ in range(5)]
        for _ in range(400):  # threads of the others need a moment to end
            if threading.active_count() <= before + 1:
                break
            await asyncio.sleep(0.05)
        assert threading.active_count() <= before + 1
        fake_nvml(HANG=0)
        await made.step()  # ends the call that hung
        return [first, hanging[-1], await made.step()]

    first, hanging, after = asyncio.run(take())
    assert first.gpus is not None and after.gpus is not None
    assert hanging.gpus == first.gpus  # with the time of then, so that a page can say how old it is
    assert after.gpus.at > first.gpus.at
    assert hanging.at > first.at


def test_the_key_is_not_in_what_is_printed(tmp_path: Path) -> None:  # row 40: canary secrets
    assert "canary" not in repr(Target("launch:1", 1, "http://127.0.0.1:1/metrics", "canary"))


def test_readings_survive_a_message(tmp_path: Path, engine: str, fake_nvml: Callable[..., None]) -> None:
    target = Target("launch:17", OWN, f"{engine}/metrics", "secret")
    for read in steps(sampler_of(tmp_path, target, Target("launch:18", None, None, "")), 2):
        text = read.to_text()
        assert Readings.from_text(text) == read
        assert Readings.from_text(msgpack.unpackb(msgpack.packb(text))) == read
        assert "secret" not in text


def test_readings_without_parts_survive_a_message() -> None:
    read = Readings(None, None, {}, datetime.now(UTC))
    assert Readings.from_text(read.to_text()) == read
    empty = Readings(None, GpuReadings([], "No GPU.", read.at), {}, read.at)
    assert Readings.from_text(empty.to_text()) == empty


def test_ticks_do_not_drift() -> None:
    assert until_next_tick(100.0, 100.25, 1.0) == pytest.approx(0.75)
    assert until_next_tick(100.0, 103.5, 1.0) == pytest.approx(0.5)  # what was missed is not made up for
    assert until_next_tick(100.0, 100.25, 0.5) == pytest.approx(0.25)


def test_it_runs_until_it_is_cancelled(tmp_path: Path, no_driver: None) -> None:
    made = sampler_of(tmp_path)

    async def run() -> int:
        published: asyncio.Queue[Readings] = asyncio.Queue()
        publish: Callable[[Readings], Awaitable[None]] = published.put
        task = asyncio.create_task(made.run(publish, interval=0.01))
        async with asyncio.timeout(20):
            taken = [await published.get() for _ in range(3)]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return len({read.at for read in taken})

    assert asyncio.run(run()) == 3
