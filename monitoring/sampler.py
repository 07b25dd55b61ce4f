"""One reading of everything each second: the machine, its GPUs, and the processes that others name."""

import asyncio
import concurrent.futures
import json
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import aiohttp
import psutil

from monitoring.engine_metrics import EngineMeter, EngineReading, Gained
from monitoring.gpu import GpuReadings
from monitoring.host import HostReader, HostReading
from monitoring.nvml import GpuReader
from monitoring.processes import ProcessReader, Usage

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PATIENCE = 1.0  # seconds that one step waits for any one part
LARGEST_PAGE = 4 * 2**20  # bytes; an engine's page is about 64 KiB
AT_ONCE = 2**18  # bytes taken from a connection in one go


@dataclass(frozen=True)
class Target:
    """What else to read: a process tree, an engine's metrics page, or both."""

    subject: str  # as in `launch:17`
    pid: int | None
    metrics_url: str | None
    key: str = field(default="", repr=False)  # bearer key of the page


@dataclass(frozen=True)
class TargetReading:
    usage: Usage | None
    engine: EngineReading | None
    gpu_memory: int | None = None  # bytes that its processes hold on all GPUs; None where that cannot be seen
    gained: Gained = field(default_factory=Gained, compare=False)  # for the history; does not travel

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "TargetReading":
        usage, engine = message["usage"], message["engine"]
        return cls(
            usage=usage and Usage(**usage | {"pids": tuple(usage["pids"])}),
            engine=engine
            and EngineReading(
                **engine | {"latency": {name: tuple(one) for name, one in engine["latency"].items()}}
            ),
            gpu_memory=message["gpu_memory"],
        )


@dataclass(frozen=True)
class Readings:
    """All that was read in one step. A part that could not be read is None."""

    host: HostReading | None
    gpus: GpuReadings | None
    targets: dict[str, TargetReading]  # by subject
    at: datetime  # UTC

    def to_text(self) -> str:
        """JSON. One text for all who listen: a channel layer copies whatever else it is given, for each of them."""
        return json.dumps(self, default=_told, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "Readings":
        message = json.loads(text)
        return cls(
            host=message["host"] and HostReading.from_message(message["host"]),
            gpus=message["gpus"] and GpuReadings.from_message(message["gpus"]),
            targets={
                subject: TargetReading.from_message(target) for subject, target in message["targets"].items()
            },
            at=datetime.fromisoformat(message["at"]),
        )


def _told(part: object) -> Any:
    """How JSON tells what it does not know. `dataclasses.asdict` would copy all of it first, which costs more."""
    if isinstance(part, datetime):
        return part.isoformat()
    if isinstance(part, TargetReading):
        return {"usage": part.usage, "engine": part.engine, "gpu_memory": part.gpu_memory}
    return vars(part)


class Sampler:
    """Reads every part beside the others; one that fails or hangs takes only itself away."""

    def __init__(self, host: HostReader, gpu: GpuReader, targets: Callable[[], Iterable[Target]]) -> None:
        self._targets = targets
        self._host = _InThread(host.read)
        self._gpu = _InThread(gpu.read)
        self._processes = _InThread(ProcessReader().usages)
        self._meters: dict[str, EngineMeter] = {}
        self._client: aiohttp.ClientSession | None = None  # made in the loop that uses it

    async def step(self) -> Readings:
        """One reading. `targets` is asked anew each time; who is no longer named is forgotten."""
        targets = list(self._targets())
        self._meters = {
            target.subject: self._meters.get(target.subject) or EngineMeter() for target in targets
        }
        pids = [target.pid for target in targets if target.pid is not None]
        host, gpus, usages, engines = await asyncio.gather(
            self._host(),
            self._gpu(),
            self._processes(pids),
            asyncio.gather(*(self._engine(target) for target in targets)),
        )
        return Readings(
            host=host,
            gpus=gpus,
            targets={
                target.subject: self._reading(target, (usages or {}).get(target.pid or 0), engine, gpus)
                for target, engine in zip(targets, engines, strict=True)
            },
            at=datetime.now(UTC),
        )

    def _reading(
        self, target: Target, usage: Usage | None, engine: EngineReading | None, gpus: GpuReadings | None
    ) -> TargetReading:
        gained = self._meters[target.subject].gained if engine else Gained()
        return TargetReading(usage, engine, _memory_on(gpus, usage), gained)

    async def run(self, publish: Callable[[Readings], Awaitable[None]], interval: float = 1.0) -> None:
        """Steps every `interval` seconds, until cancelled. A tick that is missed is not made up for."""
        started = time.monotonic()
        try:
            while True:
                await publish(await self.step())
                await asyncio.sleep(until_next_tick(started, time.monotonic(), interval))
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _engine(self, target: Target) -> EngineReading | None:
        if target.metrics_url is None:
            return None
        page = await self._page(target.metrics_url, target.key)
        return None if page is None else self._meters[target.subject].read(page, time.monotonic())

    async def _page(self, url: str, key: str) -> bytes | None:
        """None where there is no page within the second: an engine that starts, ends, hangs or floods."""
        if self._client is None:
            # No proxy of the environment (aiohttp's default): an engine is on this machine, and its key stays here.
            # aiohttp rather than httpx, because a page takes it less than half of the processor's time.
            self._client = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=PATIENCE),  # for the whole page
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=4
                ),  # engines close after five seconds
                read_bufsize=AT_ONCE,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        headers = {"Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        body = bytearray()
        try:
            async with self._client.get(url, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    return None
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > LARGEST_PAGE:
                        return None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return bytes(body)


def _memory_on(gpus: GpuReadings | None, usage: Usage | None) -> int | None:
    """None without a GPU, and where the driver does not tell what a process holds."""
    if gpus is None or usage is None:
        return None
    held = [one.memory for gpu in gpus.gpus for one in gpu.processes if one.pid in usage.pids]
    known = [memory for memory in held if memory is not None]
    return sum(known) if known else None


def until_next_tick(started: float, now: float, interval: float) -> float:
    """Seconds to the next whole multiple of `interval` after the start, so that steps do not drift."""
    return started + interval * (math.floor((now - started) / interval) + 1) - now


class _InThread(Generic[Result]):
    """Calls a reader that may block in a thread, one call at a time, and waits `PATIENCE` seconds at most.

    While a call hangs, the result before it is given again: it carries its own time, so that a page can say
    how old it is. The thread is a daemon: one that hangs in a driver must not hold up the console's end.
    """

    def __init__(self, read: Callable[..., Result]) -> None:
        self._read = read
        self._pending: concurrent.futures.Future[Result | None] | None = None
        self._last: Result | None = None

    async def __call__(self, *arguments: object) -> Result | None:
        if self._pending is None:
            self._pending = concurrent.futures.Future()
            self._pending.set_running_or_notify_cancel()  # from here on nobody can cancel it
            try:
                threading.Thread(target=self._work, args=(self._pending, arguments), daemon=True).start()
            except RuntimeError as error:  # the machine has no room for another thread: next time, perhaps
                logger.warning("A reading could not be begun: %s", error)
                self._pending = None
                return self._last
        waiting = asyncio.wrap_future(self._pending)
        done, _ = await asyncio.wait([waiting], timeout=PATIENCE)
        if done:
            self._pending = None
            self._last = waiting.result()
        return self._last

    def _work(self, future: concurrent.futures.Future[Result | None], arguments: tuple[object, ...]) -> None:
        result: Result | None = None
        try:
            result = self._read(*arguments)
        except (OSError, psutil.Error) as error:
            logger.info("A reading failed: %s", error)
        finally:
            future.set_result(result)  # also after an error of ours, which the thread then prints
