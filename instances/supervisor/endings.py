"""How a launch ends: is it proved, why was it, and is it tried again."""

from __future__ import annotations

import datetime as dt
import random
from collections import deque
from collections.abc import Collection

from django.conf import settings
from django.utils import timezone

from instances.launchers.base import HOST_RESTARTED, Exit, Observation
from instances.logs import store
from instances.models import Launch, RestartPolicy
from instances.states import State
from instances.vllm.diagnosis import Diagnosis, Outside, diagnose, stalled
from monitoring import kernel
from monitoring.gpu import GpuReadings
from monitoring.processes import described

from . import ports
from .restarts import JITTER, Ending, Restart, next_restart
from .watched import Watched

LAST_LINES = 4000  # of the log, searched for the cause of death
RECENTLY = 30.0  # seconds before an end in which a strike of the kernel may have been its cause
RESTARTED = "host-restarted"  # the code of an end that is no failure of the engine
PORT_SHARED = "port-shared"  # the code of a start that was given up because somebody else listens as well


class KernelWatch:
    """How often the kernel has ended processes for want of memory, lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """`now` is monotonic seconds."""
        count = kernel.oom_kills()
        if count is not None:
            self._seen.append((now, count))
        while len(self._seen) > 1 and self._seen[1][0] <= now - RECENTLY:
            self._seen.popleft()

    def outside(self, now: float, pids: Collection[int]) -> Outside:
        """What the kernel tells of the last moments of these processes."""
        self.look(now)
        kills = self._seen[-1][1] - self._seen[0][1] if self._seen else 0
        lines = kernel.messages(now - RECENTLY)
        return Outside(kills, tuple(line for line in lines if "Xid" in line or _names(line, pids)))


def _names(line: str, pids: Collection[int]) -> bool:
    words = line.replace(",", " ").replace("=", " ").replace("[", " ").replace("]", " ").split()
    return any(str(pid) in words for pid in pids)


def unproved(launch: Launch, exit_: Exit | None, watched: Watched, gpus: GpuReadings | None) -> str:
    """What is left of an ended launch and who holds it, as a sentence; empty when the end is proved."""
    if exit_ and exit_.unswept:
        return f"These processes could not be ended: {', '.join(map(described, exit_.unswept))}."
    if launch.port and launch.started_at and launch.code != PORT_SHARED and not ports.is_free(launch.port):
        return f"Its port {launch.port} is still held by {ports.holder(launch.port)}."
    for gpu in gpus.gpus if gpus else ():
        for process in gpu.processes:
            if process.pid in watched.gpu_pids:
                held = f"{(process.memory or 0) / 2**30:.1f} GiB of GPU {gpu.index}"
                return f"{held} are still held by {described(process.pid)}."
    return ""


def reason(launch: Launch, seen: Observation, outside: Outside) -> tuple[Diagnosis, int | None]:
    """Why it ended though people wanted it, and the offset of its evidence in the log."""
    exit_ = seen.exit
    if launch.code:  # we gave it up ourselves, and have written down why
        return Diagnosis(launch.code, launch.error, launch.advice, launch.evidence, False), launch.evidence_at
    if seen.lost and seen.reason == HOST_RESTARTED:
        return Diagnosis(RESTARTED, "The host was restarted.", "It starts again by itself.", "", False), None
    if seen.lost:
        advice = "It is started again if it should run; look for who or what ended its processes."
        return Diagnosis("lost", f"The launch was lost: {seen.reason}.", advice, "", False), None
    if exit_ and exit_.spawn_error:
        cause = f"The engine could not be started: {exit_.spawn_error}"
        advice = "Install the engine again, or set LLMOPS_VLLM to one that runs."
        return Diagnosis("spawn", cause, advice, "", True), None
    lines = store.tail(launch.directory, LAST_LINES)
    why = diagnose(
        [line.text for line in lines],
        exit_code=exit_.code if exit_ else None,
        signal=exit_.signal if exit_ else None,
        phase="running" if launch.ready_at else launch.phase,
        outside=outside,
    )
    return why, None if why.line is None else lines[why.line].offset


def stalled_start(launch: Launch, seconds: float) -> tuple[Diagnosis, int | None]:
    """A start that did not get on for so long."""
    lines = store.tail(launch.directory, LAST_LINES)
    why = stalled([line.text for line in lines], phase=launch.phase, seconds=seconds)
    return why, None if why.line is None else lines[why.line].offset


def restart_of(launch: Launch, why: Diagnosis, ended_at: dt.datetime) -> Restart | None:
    """When it is tried again by itself, if at all. The machine's own restart is nobody's failure."""
    if why.final or not launch.instance.wants(launch):
        return None
    if why.code == RESTARTED:
        return Restart(at=timezone.now(), attempt=0)
    if launch.instance.restart_policy != RestartPolicy.ON_FAILURE:
        return None
    earlier = launch.instance.launches.filter(
        pk__gt=launch.instance.retired_through,
        pk__lt=launch.pk,
        state=State.ERROR,
        ended_at__isnull=False,
    ).exclude(code=RESTARTED)
    failures = [Ending(ended_at, _ran_for(launch, ended_at))]
    failures += [Ending(one.ended_at, _ran_for(one, one.ended_at)) for one in earlier[:20] if one.ended_at]
    return next_restart(
        failures,
        now=timezone.now(),
        budget=settings.RESTART_BUDGET,
        jitter=random.uniform(-JITTER, JITTER),
    )


def _ran_for(launch: Launch, ended_at: dt.datetime) -> dt.timedelta:
    return ended_at - launch.ready_at if launch.ready_at else dt.timedelta(0)


def exit_code(exit_: Exit | None) -> int | None:
    """The exit code; a signal as its negative number, as Python says it."""
    if exit_ is None:
        return None
    return -exit_.signal if exit_.signal else exit_.code
