"""The supervisor's life: lock, adoption, then a step at every bell and at least every two seconds.

It lives outside the Channels consumer, because Channels throws a consumer away when a handler raises.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from instances import announce, retention
from instances.launchers.local import LocalLauncher
from instances.models import Launch
from instances.states import State
from monitoring import history
from monitoring.announce import readings_taken
from monitoring.host import HostReader
from monitoring.nvml import GpuReader
from monitoring.sampler import Readings, Sampler, Target

from . import adoption, downloads, flags
from .jobs import Jobs
from .readiness import Answer, Endpoint, is_healthy, is_ready
from .reconcile import Reconciler

log = logging.getLogger(__name__)

TICK = 2.0  # seconds; what a lost bell costs at most
BUSY_TICK = 0.25  # seconds, while a launch is on its way up or down
JOB_TICK = 1.0  # seconds, while a download or an installation runs
PROBE_EVERY = 0.5  # seconds between probes of a starting engine
HEALTH_EVERY = 5.0  # seconds from start to start
SLACK = 0.1  # seconds by which a probe may come early: timers are not exact
BUSY = (State.INITIALIZING, State.STARTING, State.STOPPING, State.LOST)
TIDY_EVERY = 3600.0  # seconds between two looks for old logs

Result = TypeVar("Result")


class Supervisor:
    """Makes the launches of this host be what people asked for. One per data folder (the caller holds the lock)."""

    def __init__(self) -> None:
        data = Path(settings.LLMOPS_DATA)
        self.reconciler = Reconciler(LocalLauncher(data / "launches"))
        self.jobs = Jobs(LocalLauncher(data / "jobs"))
        self._bell = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="supervisor")
        self._probes: dict[int, asyncio.Task[None]] = {}
        self._probed_at: dict[int, float] = {}
        self._targets: list[Target] = []
        self._keepers: dict[int, int] = {}  # pid -> its pidfd, in the event loop's care
        self._adopted = False
        self._asks_flags = True  # some engine's flags may not be known
        self._tidied_at = float("-inf")
        self._recorder = history.Recorder()
        self._writer = history.Writer()
        self._writing: asyncio.Task[None] | None = None
        self._history_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")

    def ring(self) -> None:
        self._bell.set()

    async def run(self) -> None:
        """Supervise until cancelled. Engines go on afterwards."""
        _mark().unlink(missing_ok=True)  # of a supervisor before this one
        sampler = Sampler(
            HostReader(Path(settings.LLMOPS_DATA), settings.LLMOPS_MODEL_ROOTS),
            GpuReader(),
            lambda: self._targets,
        )
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
            works = (partial(sampler.run, self._heard, settings.SAMPLE_EVERY), partial(self._probe, client))
            beside = [asyncio.create_task(self._for_ever(work)) for work in works]
            try:
                while True:
                    await self._turn_or_wait()
            finally:
                for task in beside:
                    task.cancel()
                for probe in self._probes.values():
                    probe.cancel()
                for pid in list(self._keepers):
                    self._release(pid)
                self._thread.shutdown(wait=False)
                self._history_thread.shutdown(wait=False)

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """Readings and probes go on whatever happens to them: without them starts would look stalled."""
        while True:
            try:
                await work()
            except (OSError, RuntimeError, ValueError, httpx.HTTPError):
                log.exception("readings or probes failed; they begin again")
                await asyncio.sleep(TICK)

    async def _heard(self, readings: Readings) -> None:
        """The supervisor judges what the pages show."""
        self.reconciler.readings = readings
        await readings_taken(readings)
        self._recorder.take(readings)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._record(readings))

    async def _record(self, readings: Readings) -> None:
        """Beside the readings, which never wait for a database."""
        ticks = self._recorder.due()
        if not ticks:
            return
        try:
            await self._in_thread(self._writer.write, ticks, readings.to_text(), on=self._history_thread)
        except (DatabaseError, InterfaceError) as error:
            self._recorder.give_back(ticks)
            log.info("readings wait to be written: %s", str(error).strip())
            return
        try:
            await self._in_thread(self._writer.tidy, on=self._history_thread)
        except (DatabaseError, InterfaceError) as error:
            log.info("readings are rolled up later: %s", str(error).strip())

    async def _turn_or_wait(self) -> None:
        """The one catch-all: whatever goes wrong in a step, supervision goes on, and so do the pages."""
        try:
            await self._turn()
        except Exception:
            log.exception("a step of the supervisor failed; the next one tries again")
            await asyncio.sleep(TICK)

    async def _turn(self) -> None:
        """One step, its announcements, and the wait for the next bell."""
        self._bell.clear()
        try:
            if not self._adopted:
                await self._in_thread(adoption.take_up, self.reconciler.launcher)
                self._adopted = True
            for job_id in await self._in_thread(self.jobs.step):  # first: launches wait for downloads
                await announce.job_changed(job_id)
            if self._asks_flags or self.jobs.installed:
                self.jobs.installed = False
                self._asks_flags = await self._in_thread(flags.request_missing)
            for instance_id in await self._in_thread(self.reconciler.step):
                await announce.instance_changed(instance_id)
        except (DatabaseError, InterfaceError) as error:
            # Engines are untouched, the next tick tries again.
            log.warning("the database does not answer, trying again: %s", str(error).strip())
        else:
            mark_reconciled()
        launches = self.reconciler.live
        self._targets = [_target(launch) for launch in launches if launch.pid]
        self._attend({*self.reconciler.keepers.values(), *self.jobs.keepers.values()})
        await self._tidy()
        await self._wait(self._pause())

    def _pause(self) -> float:
        """Until the next step, seconds. A launch that only waits for its download is no reason for haste."""
        moving = [one for one in self.reconciler.live if one.state in BUSY]
        if any(one.state != State.INITIALIZING or one.phase != downloads.PHASE for one in moving):
            return BUSY_TICK
        return JOB_TICK if moving or self.jobs.running else TICK

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass

    def _attend(self, pids: set[int]) -> None:
        """Let the end of any of these processes ring the bell, so that it is not found at a tick only."""
        for gone in set(self._keepers) - pids:
            self._release(gone)
        for pid in pids - set(self._keepers):
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:  # it has ended, or no descriptor is left: the tick finds it
                continue
            self._keepers[pid] = descriptor
            asyncio.get_running_loop().add_reader(descriptor, self._keeper_ended, pid)

    def _keeper_ended(self, pid: int) -> None:
        self._release(pid)
        self.ring()

    def _release(self, pid: int) -> None:
        descriptor = self._keepers.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)

    async def _tidy(self) -> None:
        """Old logs make room."""
        if time.monotonic() - self._tidied_at >= TIDY_EVERY:
            self._tidied_at = time.monotonic()
            await self._in_thread(retention.drop_old_logs, settings.LLMOPS_LOGS_KEPT)

    async def _probe(self, client: httpx.AsyncClient) -> None:
        """Ask each engine when its time has come, until cancelled; the answers are judged at the next step."""
        while True:
            self._probe_once(client, self.reconciler.live)
            await asyncio.sleep(PROBE_EVERY)

    def _probe_once(self, client: httpx.AsyncClient, launches: list[Launch]) -> None:
        now = time.monotonic()
        for ended in set(self._probes) - {launch.pk for launch in launches}:
            self._probes.pop(ended).cancel()
            del self._probed_at[ended]
        for launch in launches:
            ask: Callable[[Endpoint], Awaitable[Answer]]
            if launch.state == State.STARTING:
                ask, every = partial(is_ready, client), PROBE_EVERY
            elif launch.serving:
                ask, every = is_healthy, HEALTH_EVERY
            else:
                continue
            running = self._probes.get(launch.pk)
            watched = self.reconciler.watched.get(launch.pk)
            if watched and watched.answer and watched.answer.ok and not launch.serving:
                continue  # ready: the step that writes it down is under way
            if (running and not running.done()) or now - self._probed_at.get(launch.pk, 0.0) < every - SLACK:
                continue
            self._probed_at[launch.pk] = now
            self._probes[launch.pk] = asyncio.create_task(self._ask(ask, launch))

    async def _ask(self, ask: Callable[[Endpoint], Awaitable[Answer]], launch: Launch) -> None:
        answer = await ask(Endpoint(launch.pk, launch.base_url, launch.engine_key, launch.served_name))
        watched = self.reconciler.watched.get(launch.pk)
        if watched is not None:
            watched.answer = answer
            if answer.ok != launch.serving:  # ready, or missed: no need to wait for the tick
                self.ring()

    async def _in_thread(
        self, work: Callable[..., Result], *args: Any, on: ThreadPoolExecutor | None = None
    ) -> Result:
        """Database work in the supervisor's own thread, so that it never queues behind the pages'."""

        def fresh() -> Result:
            close_old_connections()
            return work(*args)

        return await sync_to_async(fresh, thread_sensitive=False, executor=on or self._thread)()


def _target(launch: Launch) -> Target:
    metrics = f"{launch.base_url}/metrics" if launch.serving else None
    return Target(subject=f"launch:{launch.pk}", pid=launch.pid, metrics_url=metrics, key=launch.engine_key)


def _mark() -> Path:
    return Path(settings.LLMOPS_DATA) / "reconciled"


def mark_reconciled() -> None:
    _mark().touch()


def reconciled_lately() -> bool:
    """Whether a supervisor, in this process or another one, has made a step in the last ten seconds."""
    try:
        return abs(time.time() - _mark().stat().st_mtime) < 5 * TICK
    except FileNotFoundError:
        return False
