"""One step of supervision: compare what people asked for with what is observed, and act.

Guarantees: every move is a compare-and-set on the launch's row; nothing here waits for an engine; a step may be cut
off anywhere and the next one, also of a new supervisor, goes on from the database and the launch directories.
Spans of time are measured by the monotonic clock, so that nothing happens when the machine's clock is set.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from instances import events, fitting
from instances.launchers.base import Launcher, LaunchError, Observation, Ref
from instances.models import Instance, Launch
from instances.states import SERVING, State
from instances.vllm.diagnosis import Diagnosis
from monitoring.sampler import Readings

from . import claims, downloads, endings, judging, plan, ports
from .broken import BROKEN
from .obstacle import Obstacle
from .waits import Waits
from .watched import Watched

log = logging.getLogger(__name__)

Verdict = judging.Ready | judging.GiveUp | judging.Trouble | judging.Well | None
PATIENCE = 10.0  # seconds for port and GPU memory to come free after the tree is gone


class Reconciler:
    """The only writer of launches. `step` is called from one thread at a time."""

    def __init__(self, launcher: Launcher, clock: Callable[[], float] = time.monotonic) -> None:
        self.launcher = launcher
        self.watched: dict[int, Watched] = {}
        self.live: list[Launch] = []  # after a step: the launches of this host that have not ended
        self.keepers: dict[int, int] = {}  # launch id -> pid of the process whose end is worth a step
        self.readings: Readings | None = None  # the newest, from whoever measures
        self._taken: Readings | None = None  # the newest that was taken in: each counts once
        self._fresh: Readings | None = None  # to be taken in at this step
        self._taken_at = float("-inf")  # monotonic seconds
        self._clock = clock
        self._waits = Waits(clock)
        self._kernel = endings.KernelWatch()
        self._sharing = ports.Sharing()
        self._changed: set[int] = set()
        self._told: set[str] = set()  # what was logged already

    def step(self) -> set[int]:
        """Look at everything once; the ids of the instances of which something changed."""
        self._kernel.look(self._clock())
        self._sharing.look(self._clock())
        launches = Launch.objects.live().here().select_related("instance")
        self.live = list(launches.order_by("pk"))
        fresh, self._taken = self.readings is not self._taken, self.readings
        self._fresh = self.readings if fresh else None
        self._taken_at = self._clock() if fresh else self._taken_at
        for launch in list(self.live):
            self._apart(self._tend, launch)
        occupied = {launch.instance_id for launch in self.live if not launch.ended}
        free = [instance for instance in Instance.objects.decided() if instance.pk not in occupied]
        for instance in free:
            if not instance.removing:
                self._apart(self._consider, instance)
        removing = {instance.pk for instance in free if instance.removing}
        if removing and Instance.objects.finish_removals():
            self._changed |= removing
        self.live = [launch for launch in self.live if not launch.ended]
        self.watched = {launch.pk: self._watch(launch) for launch in self.live}
        self.keepers = {pk: pid for pk, pid in self.keepers.items() if pk in self.watched}
        changed, self._changed = (
            self._changed,
            set(),
        )  # a step that was cut off leaves its own to the next one
        return changed

    def _apart(self, work: Callable[[Any], None], one: Launch | Instance) -> None:
        """What is broken about one (a record, a file, a descriptor too few) is no reason to leave the others alone."""
        try:
            work(one)
        except BROKEN as error:
            if (known := f"{one}: {error!r}") not in self._told:  # once, and not four times a second
                self._told.add(known)
                log.exception("%s could not be looked after in this step; the next one tries again", one)

    def _watch(self, launch: Launch) -> Watched:
        if launch.pk not in self.watched:
            self.watched[launch.pk] = Watched.first_seen(self._clock())
        return self.watched[launch.pk]

    def _move(self, launch: Launch, state: State, **facts: Any) -> bool:
        before = launch.state
        moved = Launch.objects.move(launch, state, **facts)
        if moved:
            self._changed.add(launch.instance_id)
            log.info("%s, launch %s: %s -> %s", launch.instance.name, launch.pk, before, state)
        return moved

    def _note(self, launch: Launch, **facts: Any) -> None:
        """Write what differs from what is known."""
        facts = {name: value for name, value in facts.items() if getattr(launch, name) != value}
        if facts and Launch.objects.note(launch, **facts):
            self._changed.add(launch.instance_id)

    # ------------------------------------------------------------ instances without a live launch

    def _consider(self, instance: Instance) -> None:
        """Begin the launch that this instance should have, when its time has come."""
        last = instance.last_launch
        attempt = 0
        if last is not None and instance.wants(last):
            if last.restart_at is None or not self._is_due(last, last.restart_at):
                return
            attempt = last.restart_attempt
        launch = plan.open_launch(instance, attempt=attempt)
        if launch is not None:
            self._changed.add(instance.pk)
            self.live.append(launch)
            self._tend(launch)

    def _is_due(self, last: Launch, restart_at: dt.datetime) -> bool:
        """Whether the wait is over; the time that pages show follows a clock that was set."""
        is_due, true_time = self._waits.look(last.pk, restart_at, timezone.now())
        if true_time != restart_at:
            self._note(last, restart_at=true_time)
        return is_due

    # ------------------------------------------------------------ live launches

    def _tend(self, launch: Launch) -> None:
        seen = self.launcher.observe(Ref(launch.pk, launch.directory))
        if seen.keeper:
            self.keepers[launch.pk] = seen.keeper
        else:
            self.keepers.pop(launch.pk, None)
        if launch.state == State.INITIALIZING:
            self._begin(launch, seen)
            return
        self._read_log(launch)
        if self._fresh is not None:
            self._watch(launch).saw(launch, self._fresh, self._clock())
        if not seen.alive:
            self._end(launch, seen)
        elif not launch.instance.wants(launch) or launch.state == State.STOPPING:
            self._stop(launch)
        elif seen.reason:
            self._lose(launch, seen)
        else:
            self._follow(launch, seen)

    def _begin(self, launch: Launch, seen: Observation) -> None:
        """INITIALIZING: check, wait, start, or give up with the reason. Starting twice is safe."""
        if not launch.instance.wants(launch):
            self._retire(launch)
            return
        begun = seen.pid or seen.exit  # by an earlier supervisor, which did not come to write it down
        if begun:
            self._move(launch, State.STARTING, started_at=timezone.now(), note="")
            return
        try:
            engine = plan.engine_of(launch)
            about = {"accelerator": engine.accelerator, "engine_version": engine.version[:40]}
            self._note(launch, gpus=claims.gpus_of(launch.revision.config, engine.accelerator), **about)
            gpus = self.readings.gpus if self.readings else None
            plan.check_gpus(launch, engine, gpus)
            waits: dict[str, Any] = {
                "note": plan.why_to_wait(launch, [one for one in self.live if not one.ended])
            }
            if waits := downloads.why_to_wait(launch, engine) or (waits if waits["note"] else {}):
                self._note(launch, **waits)
                return
            spec = plan.spec_of(launch, engine, gpus)
            expected = fitting.kept_estimate(launch.revision.config, engine.accelerator, self.readings)
            self._note(launch, estimate=expected)
            self.launcher.start(spec)
        except Obstacle as obstacle:
            self._fail(launch, Diagnosis("obstacle", obstacle.cause, obstacle.advice, "", True))
        except LaunchError as error:
            advice = "It is tried again; free what is missing meanwhile."
            self._fail(launch, Diagnosis("launcher", str(error), advice, "", False))
        else:
            self._watch(launch).progress.began(self._clock())
            fresh: dict[str, Any] = {
                "note": "",
                "phase": "",
                "progress": None,
                "phases": downloads.fetched(launch),
            }
            self._move(launch, State.STARTING, started_at=timezone.now(), **fresh)

    def _lose(self, launch: Launch, seen: Observation) -> None:
        """Nobody looks after it any more; what is left of it is being ended."""
        if launch.state != State.LOST:
            self._move(launch, State.LOST, error=f"The launch was lost: {seen.reason}.")

    def _follow(self, launch: Launch, seen: Observation) -> None:
        """A wanted launch whose process is alive: its pid, its phase, its health."""
        self._note(launch, pid=seen.pid or launch.pid)
        watched = self._watch(launch)
        if launch.state == State.LOST:  # in reach again
            self._move(launch, State.RUNNING if launch.ready_at else State.STARTING, error="")
        elif launch.state == State.STARTING:
            self._act_on(launch, watched, judging.start(launch, watched, self._clock()))
        else:
            self._act_on(launch, watched, judging.running(launch, watched, self._sharing, self._clock()))

    def _act_on(self, launch: Launch, watched: Watched, verdict: Verdict) -> None:
        match verdict:
            case judging.Ready(complaint):
                watched.notices.feed(complaint)
                facts = {"phases": watched.all_phases(launch), "notices": watched.all_notices(launch)}
                with transaction.atomic():
                    if self._move(launch, State.RUNNING, ready_at=timezone.now(), **facts):
                        events.record(launch.instance, "saw ready")
            case judging.Trouble(text):
                self._move(launch, State.UNHEALTHY, error=text)
            case judging.Well():
                self._move(launch, State.RUNNING, error="")
            case judging.GiveUp(why, at):
                # The code tells `_end` that this is a failure, not a stop.
                facts = {"code": why.code, "error": why.cause[:500], "advice": why.advice[:500]}
                self._move(launch, State.STOPPING, evidence=why.evidence[:4000], evidence_at=at, **facts)

    def _retire(self, launch: Launch) -> bool:
        """Write down that nobody wants it any more, and who said so."""
        return self._move(
            launch, State.STOPPING, stopped_by_id=launch.instance.desired_by_id, error="", note=""
        )

    def _stop(self, launch: Launch) -> None:
        """Nobody wants it any more: intent written first, then the signals; forced when asked twice."""
        watched, ref = self._watch(launch), Ref(launch.pk, launch.directory)
        if launch.state != State.STOPPING and not self._retire(launch):
            return
        grace = settings.STOP_GRACE if launch.ready_at else settings.STARTING_STOP_GRACE
        if launch.pk <= launch.instance.forced_through and not watched.kill_sent:
            self.launcher.kill(ref)
            watched.kill_sent = watched.stop_sent = True
        elif not watched.stop_sent:
            self.launcher.stop(ref, grace)
            watched.stop_sent = True

    def _read_log(self, launch: Launch) -> None:
        """Take phase, progress and notices from what the engine has printed since the last step."""
        watched = self._watch(launch)
        moved = watched.read_log(launch)
        if moved and launch.state == State.STARTING:
            reader = watched.phases
            progress = list(reader.progress) if reader.progress else None
            self._note(launch, phase=reader.phase, progress=progress, phases=watched.all_phases(launch))
        self._note(launch, notices=watched.all_notices(launch))
        if watched.measured.found:
            self._note(launch, measured={**(launch.measured or {}), **watched.measured.found})

    # ------------------------------------------------------------ the end

    def _end(self, launch: Launch, seen: Observation) -> None:
        """The tree is gone: STOPPED if people asked for it, else ERROR with the cause. Nothing may be held."""
        watched, now, exit_ = self._watch(launch), self._clock(), seen.exit
        if seen.lost and launch.state not in (State.LOST, State.STOPPING):
            self._lose(launch, seen)
            return
        if not launch.instance.wants(launch) and launch.state in SERVING | {State.STARTING, State.LOST}:
            self._retire(launch)
            return
        watched.gone_since = watched.gone_since or now
        if watched.gpu_pids and self._taken_at <= watched.gone_since and now - watched.gone_since < PATIENCE:
            return  # the GPUs were not looked at since
        gpus = self._taken.gpus if self._taken and self._taken_at > watched.gone_since else None
        held = endings.unproved(launch, exit_, watched, gpus)
        if held and not (exit_ and exit_.unswept) and now - watched.gone_since < PATIENCE:
            return
        facts: dict[str, Any] = {
            "ended_at": exit_.at if exit_ else timezone.now(),
            "exit_code": endings.exit_code(exit_),
            "notices": [],
        }
        if launch.ready_at is None:
            facts["phases"] = watched.all_phases(launch)
        gave_up = launch.code and launch.instance.wants(launch)
        if held:
            advice = "End that process, then start it again."
            self._fail(launch, Diagnosis("unproved", held, advice, "", True), **facts)
        elif launch.state == State.STOPPING and not gave_up:
            self._move(
                launch, State.STOPPED, **facts | {"code": "", "error": "", "advice": "", "evidence": ""}
            )
        else:
            outside = self._kernel.outside(now, watched.pids)
            why, at = endings.reason(launch, seen, outside)
            self._fail(launch, why, evidence_at=at, **facts)

    def _fail(self, launch: Launch, why: Diagnosis, **facts: Any) -> None:
        facts.setdefault("ended_at", timezone.now())
        restart = endings.restart_of(launch, why, facts["ended_at"])
        with transaction.atomic():
            moved = self._move(
                launch,
                State.ERROR,
                code=why.code,
                error=why.cause[:500],
                advice=why.advice[:500],
                change=dict(why.change) if why.change else None,
                evidence=why.evidence[:4000],
                note="",
                restart_at=restart.at if restart else None,
                restart_attempt=restart.attempt if restart else 0,
                **facts,
            )
            if moved:
                events.record(launch.instance, "saw fail", detail=why.cause)
