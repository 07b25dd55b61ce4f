"""What the newest look at a live launch means. Only judges: the reconciler acts."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from instances.models import Launch, RestartPolicy
from instances.states import State
from instances.vllm.diagnosis import Diagnosis
from monitoring.processes import described

from . import endings, ports
from .liveness import Activity
from .watched import Watched

MISSES = 3  # health checks missed in a row make a launch UNHEALTHY
STILL = 3  # readings in a row that show a suspended process


@dataclass(frozen=True)
class Ready:
    complaint: str  # what a well engine said when it was asked to chat


@dataclass(frozen=True)
class GiveUp:
    why: Diagnosis
    at: int | None = None  # offset of the evidence in the log


@dataclass(frozen=True)
class Trouble:
    """A running engine is not well."""

    text: str


@dataclass(frozen=True)
class Well:
    """An engine that was not well answers again."""


def start(launch: Launch, watched: Watched, now: float) -> Ready | GiveUp | None:
    """STARTING: is it ready, or will it never be? `now` is monotonic seconds."""
    answer, watched.answer = watched.answer, None
    if answer and (answer.ok or answer.foreign) and (others := ports.strangers(launch.port or 0, launch.pid)):
        return GiveUp(_shared(launch, others))
    if answer and answer.ok:
        return Ready(answer.complaint)
    if watched.progress.running_for(now) > settings.START_DEADLINE:
        minutes = settings.START_DEADLINE / 60
        cause = f"It was not ready within the {minutes:.0f} minutes that a start may take."
        advice = "Choose a smaller model or a faster disk, or raise LLMOPS_START_DEADLINE."
        return GiveUp(Diagnosis("start-deadline", cause, advice, "", False))
    patience = settings.COMPILE_STALL_DEADLINE if launch.phase == "compile" else settings.STALL_DEADLINE
    if watched.progress.still_for(now) > patience:
        return GiveUp(*endings.stalled_start(launch, watched.progress.still_for(now)))
    return None


def running(
    launch: Launch, watched: Watched, sharing: ports.Sharing, now: float
) -> Trouble | Well | GiveUp | None:
    """RUNNING or UNHEALTHY: what the newest health check, its counters and its port say."""
    answer, watched.answer = watched.answer, None
    if answer is not None:
        watched.misses, watched.missed = (0, "") if answer.ok else (watched.misses + 1, answer.why)
    others = sharing.strangers(launch.port, launch.pid)
    trouble = _shared(launch, others).cause if others else _trouble(watched, now)
    if launch.state == State.RUNNING:
        watched.unhealthy_since = now if trouble else None
        return Trouble(trouble) if trouble else None
    if not trouble and answer is not None and answer.ok:
        watched.unhealthy_since = None
        return Well()
    since = watched.unhealthy_since = watched.unhealthy_since or now
    restarts = launch.instance.restart_policy == RestartPolicy.ON_FAILURE
    if restarts and now - since > settings.UNHEALTHY_PATIENCE:
        cause = f"It was unhealthy for {settings.UNHEALTHY_PATIENCE / 60:.0f} minutes. {launch.error}"
        return GiveUp(Diagnosis("unhealthy", cause, "It is started again.", "", False))
    return None


def _trouble(watched: Watched, now: float) -> str:
    """How a running engine is not well, as a sentence; empty when it is."""
    if watched.misses >= MISSES:
        return f"The engine lives but {watched.missed}."
    if watched.suspended >= STILL:
        return "The engine lives but one of its processes is suspended (SIGSTOP, or a debugger)."
    if watched.liveness.activity == Activity.WEDGED:
        requests = watched.liveness.in_flight
        waiting = "1 request waits" if requests == 1 else f"{requests} requests wait"
        still = watched.liveness.still_for(now)
        return f"The engine lives but makes no progress: {waiting} for {still:.0f} s."
    return ""


def _shared(launch: Launch, strangers: list[int]) -> Diagnosis:
    """It never runs while somebody shares its port: part of the requests would reach them."""
    who = ", ".join(map(described, strangers))
    cause = f"Port {launch.port} is shared with {who}, who would get a part of the requests."
    advice = "End that program, or leave the port empty so that another one is taken."
    return Diagnosis(endings.PORT_SHARED, cause, advice, "", False)
