"""One step of supervision: compare what people asked for with what is observed, and act.

Guarantees: every move is a compare-and-set on the launch's row; nothing here waits for an engine; a step may be cut
off anywhere and the next one, also of a new supervisor, goes on from the database and the launch directories.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils import timezone

from instances import events
from instances.launchers.base import Exit, Launcher, LaunchError, Observation, Ref
from instances.logs import store
from instances.models import Instance, Launch, RestartPolicy
from instances.states import State
from instances.vllm.diagnosis import Diagnosis, diagnose
from instances.vllm.phases import PhaseReader

from . import plan, ports
from .readiness import Answer
from .restarts import Ending, Restart, next_restart

log = logging.getLogger(__name__)

MISSES = 3  # health checks missed in a row make a launch UNHEALTHY
UNHEALTHY_PATIENCE = dt.timedelta(minutes=5)  # then the restart policy decides
PORT_PATIENCE = dt.timedelta(seconds=10)  # for the port to come free after the tree is gone
LAST_LINES = 4000  # of the log, searched for the cause of death


@dataclass
class Watched:
    """What this supervisor remembers of a launch; all of it can be lost and is then found again."""

    phases: PhaseReader = field(default_factory=PhaseReader)
    offset: int = 0  # up to where the log was read for phases
    answer: Answer | None = None  # of the newest probe, not yet judged
    misses: int = 0
    unhealthy_since: dt.datetime | None = None
    stop_sent: bool = False
    kill_sent: bool = False
    gone_since: dt.datetime | None = None  # the tree is gone, the port is not yet free


class Reconciler:
    """The only writer of launches. `step` is called from one thread at a time."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.watched: dict[int, Watched] = {}
        self.live: list[Launch] = []  # after a step: the launches of this host that have not ended
        self._changed: set[int] = set()

    def step(self) -> set[int]:
        """Look at everything once; the ids of the instances of which something changed."""
        self._changed = set()
        launches = Launch.objects.live().here().select_related("instance__desired_by", "revision")
        self.live = list(launches.order_by("pk"))
        for launch in self.live:
            self._tend(launch)
        for instance in Instance.objects.should_run().without_live_launch().select_related("revision"):
            self._consider(instance)
        self.live = [launch for launch in self.live if not launch.ended]
        self.watched = {launch.pk: self._watch(launch) for launch in self.live}
        removing = list(Instance.objects.visible().filter(removing=True).values_list("pk", flat=True))
        if removing and Instance.objects.finish_removals():
            self._changed.update(removing)
        return self._changed

    def _watch(self, launch: Launch) -> Watched:
        return self.watched.setdefault(launch.pk, Watched())

    def _move(self, launch: Launch, state: State, **facts: Any) -> bool:
        before = launch.state
        moved = Launch.objects.move(launch, state, **facts)
        if moved:
            self._changed.add(launch.instance_id)
            log.info("%s, launch %s: %s -> %s", launch.instance.name, launch.pk, before, state)
        return moved

    # ------------------------------------------------------------ instances without a live launch

    def _consider(self, instance: Instance) -> None:
        """Begin the launch that this instance should have, when its time has come."""
        last = instance.last_launch
        attempt = 0
        if last is not None and instance.wants(last):
            if last.restart_at is None or last.restart_at > timezone.now():
                return
            attempt = last.restart_attempt
        launch = plan.open_launch(instance, attempt=attempt)
        if launch is not None:
            self._changed.add(instance.pk)
            self.live.append(launch)
            self._tend(launch)

    # ------------------------------------------------------------ live launches

    def _tend(self, launch: Launch) -> None:
        if launch.state == State.INITIALIZING:
            self._begin(launch)
            return
        seen = self.launcher.observe(Ref(launch.pk, launch.directory))
        if launch.ready_at is None:
            self._read_log(launch)  # of its start; later lines would only lengthen the last phase
        if not seen.alive:
            self._end(launch, seen)
        elif not launch.instance.wants(launch) or launch.state == State.STOPPING:
            self._stop(launch)
        else:
            self._follow(launch, seen)

    def _begin(self, launch: Launch) -> None:
        """INITIALIZING: check, start, or give up with the reason. Starting twice is safe: the launcher knows the id."""
        if not launch.instance.wants(launch):
            self._move(launch, State.STOPPING, stopped_by=launch.instance.desired_by)
            return
        if launch.directory.exists():  # begun by an earlier supervisor, which did not come to write it down
            self._move(launch, State.STARTING, started_at=timezone.now())
            return
        try:
            spec, engine = plan.spec_of(launch)
            self.launcher.start(spec)
        except plan.Obstacle as obstacle:
            self._fail(launch, Diagnosis("obstacle", obstacle.cause, obstacle.advice, "", True))
        except LaunchError as error:
            self._fail(
                launch,
                Diagnosis("launcher", str(error), "Free what is missing, then start it again.", "", True),
            )
        else:
            self._move(
                launch,
                State.STARTING,
                started_at=timezone.now(),
                accelerator=engine.accelerator,
                engine_version=engine.version,
            )

    def _follow(self, launch: Launch, seen: Observation) -> None:
        """A wanted launch whose process is alive: its pid, its phase, its health."""
        if seen.pid and seen.pid != launch.pid:
            Launch.objects.note(launch, pid=seen.pid)
            self._changed.add(launch.instance_id)
        watched = self._watch(launch)
        answer, watched.answer = watched.answer, None
        if launch.state == State.STARTING:
            if answer and answer.ok:
                watched.misses = 0
                self._move(launch, State.RUNNING, ready_at=timezone.now(), phases=watched.phases.snapshot())
                events.record(launch.instance, "saw ready")
            elif (timezone.now() - launch.created).total_seconds() > settings.START_DEADLINE:
                self._give_up(launch, "It was not ready in the time that a start may take.")
        elif answer is not None:
            self._judge(launch, watched, answer)

    def _judge(self, launch: Launch, watched: Watched, answer: Answer) -> None:
        """RUNNING or UNHEALTHY: what the newest health check says."""
        watched.misses = 0 if answer.ok else watched.misses + 1
        if answer.ok:
            watched.unhealthy_since = None
            if launch.state in (State.UNHEALTHY, State.LOST):
                self._move(launch, State.RUNNING, error="")
        elif launch.state == State.RUNNING and watched.misses >= MISSES:
            watched.unhealthy_since = timezone.now()
            self._move(launch, State.UNHEALTHY, error=f"The engine lives but {answer.why}.")
        elif launch.state == State.UNHEALTHY:
            since = watched.unhealthy_since = watched.unhealthy_since or timezone.now()
            may_restart = launch.instance.restart_policy == RestartPolicy.ON_FAILURE
            if may_restart and timezone.now() - since > UNHEALTHY_PATIENCE:
                self._give_up(launch, "It was unhealthy for 5 minutes.")

    def _give_up(self, launch: Launch, cause: str) -> None:
        """End a launch that people still want; `error` tells `_end` that this was a failure, not a stop."""
        Launch.objects.note(launch, error=cause)
        self.launcher.stop(Ref(launch.pk, launch.directory), settings.STOP_GRACE)

    def _stop(self, launch: Launch) -> None:
        """Nobody wants it any more: intent written first, then the signals; forced when asked twice."""
        watched, ref = self._watch(launch), Ref(launch.pk, launch.directory)
        intent = {"stopped_by": launch.instance.desired_by, "error": ""}
        if launch.state != State.STOPPING and not self._move(launch, State.STOPPING, **intent):
            return
        grace = settings.STOP_GRACE if launch.ready_at else settings.STARTING_STOP_GRACE
        if launch.pk <= launch.instance.forced_through and not watched.kill_sent:
            watched.kill_sent = watched.stop_sent = True
            self.launcher.kill(ref)
        elif not watched.stop_sent:
            watched.stop_sent = True
            self.launcher.stop(ref, grace)

    def _read_log(self, launch: Launch) -> None:
        """Take phase and progress from what the engine has printed since the last step."""
        watched = self._watch(launch)
        page = store.read(launch.directory, offset=watched.offset, limit=2000)
        watched.offset = page.next_offset
        changed = False
        for line in page.lines:
            changed |= watched.phases.feed(
                line.text, dt.datetime.fromisoformat(line.time) if line.time else None
            )
        if changed and launch.state == State.STARTING:
            reader = watched.phases
            Launch.objects.note(
                launch, phase=reader.phase, progress=reader.progress, phases=reader.snapshot()
            )
            self._changed.add(launch.instance_id)

    # ------------------------------------------------------------ the end

    def _end(self, launch: Launch, seen: Observation) -> None:
        """The tree is gone: STOPPED if people asked for it, else ERROR with the cause. The port must be free."""
        watched = self._watch(launch)
        if launch.port and not ports.is_free(launch.port):
            watched.gone_since = watched.gone_since or timezone.now()
            if timezone.now() - watched.gone_since < PORT_PATIENCE:
                return
        exit_ = seen.exit
        facts: dict[str, Any] = {
            "ended_at": exit_.at if exit_ else timezone.now(),
            "exit_code": _code(exit_),
        }
        if launch.ready_at is None:
            facts["phases"] = watched.phases.snapshot()
        unproved = self._unproved(launch, exit_)
        if launch.state == State.STOPPING and not unproved:
            self._move(launch, State.STOPPED, **facts)
        elif unproved:
            self._fail(
                launch,
                Diagnosis("unproved", unproved, "End that process, then start it again.", "", True),
                **facts,
            )
        elif seen.lost:
            cause = f"The launch was lost: {seen.reason}."
            self._fail(
                launch, Diagnosis("lost", cause, "It is started again if it should run.", "", False), **facts
            )
        else:
            self._fail(launch, self._cause(launch, exit_), **facts)

    def _unproved(self, launch: Launch, exit_: Exit | None) -> str:
        """Why the end of this launch is not complete, in words; empty when it is."""
        if exit_ and exit_.unswept:
            return f"These processes could not be ended: {', '.join(map(str, exit_.unswept))}."
        if launch.port and not ports.is_free(launch.port):
            return f"Its port {launch.port} is still held by {ports.holder(launch.port)}."
        return ""

    def _cause(self, launch: Launch, exit_: Exit | None) -> Diagnosis:
        if exit_ and exit_.spawn_error:
            return Diagnosis("spawn", f"The engine could not be started: {exit_.spawn_error}", "", "", True)
        found = diagnose(
            [line.text for line in store.tail(launch.directory, LAST_LINES)],
            exit_code=exit_.code if exit_ else None,
            signal=exit_.signal if exit_ else None,
            phase=launch.phase,
        )
        if not launch.error:
            return found
        # We ended it ourselves, and have written down why.
        return Diagnosis("gave-up", launch.error, found.advice, found.evidence, False)

    def _fail(self, launch: Launch, why: Diagnosis, **facts: Any) -> None:
        facts.setdefault("ended_at", timezone.now())
        restart = None if why.final else self._plan_restart(launch, facts["ended_at"])
        moved = self._move(
            launch,
            State.ERROR,
            error=why.cause[:500],
            advice=why.advice[:500],
            evidence=why.evidence[:4000],
            restart_at=restart.at if restart else None,
            restart_attempt=restart.attempt if restart else 0,
            **facts,
        )
        if moved:
            events.record(launch.instance, "saw fail", detail=why.cause)

    def _plan_restart(self, launch: Launch, ended_at: dt.datetime) -> Restart | None:
        if launch.instance.restart_policy != RestartPolicy.ON_FAILURE or not launch.instance.wants(launch):
            return None
        earlier = launch.instance.launches.filter(
            pk__gt=launch.instance.retired_through,
            pk__lt=launch.pk,
            state=State.ERROR,
            ended_at__isnull=False,
        )
        failures = [Ending(ended_at, _ran_for(launch, ended_at))]
        failures += [
            Ending(one.ended_at, _ran_for(one, one.ended_at)) for one in earlier[:20] if one.ended_at
        ]
        return next_restart(failures, budget=settings.RESTART_BUDGET, jitter=random.uniform(-0.25, 0.25))


def _ran_for(launch: Launch, ended_at: dt.datetime) -> dt.timedelta:
    return ended_at - launch.ready_at if launch.ready_at else dt.timedelta(0)


def _code(exit_: Exit | None) -> int | None:
    """The exit code; a signal as its negative number, as Python says it."""
    if exit_ is None:
        return None
    return -exit_.signal if exit_.signal else exit_.code
