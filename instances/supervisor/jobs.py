"""The supervisor's care for jobs: start them, follow them, end them. The only writer of what became of a job.

They run behind the same shim as engines, so they outlive the console, keep a log, and their end is proved.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from instances.jobs import programs
from instances.jobs.services import request_job
from instances.launchers.base import Launcher, LaunchError, LaunchSpec, Observation, Ref
from instances.logs import store
from instances.models import Job, JobKind, JobState

from .broken import BROKEN

log = logging.getLogger(__name__)

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LOG_CAP = 16 * 1024 * 1024  # bytes
AT_ONCE = {JobKind.MODEL: 2, JobKind.ENGINE: 1, JobKind.FLAGS: 1}
LINES = 5  # of the log's end, for a failure that its program did not explain


class Jobs:
    """`step` is called from the supervisor's one thread."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.keepers: dict[int, int] = {}  # job -> pid of the process whose end is worth a step
        self.running = 0
        self.installed = False  # an engine is new, and nobody has looked at it yet
        self._stopped: set[int] = set()
        self._seen: dict[int, tuple[int, int]] = {}  # inode and mtime of the progress file that was read
        self._changed: set[int] = set()

    def step(self) -> set[int]:
        """Look at every open job once; the ids of those of which something changed."""
        jobs = list(Job.objects.open().here().select_related("launch__instance").order_by("pk"))
        self.keepers = {}
        for job in jobs:
            if job.state == JobState.RUNNING:
                self._apart(self._follow, job)
        busy = [job.kind for job in jobs if job.state == JobState.RUNNING]
        for job in jobs:
            if job.state == JobState.WAITING and self._apart(self._begin, job, busy):
                busy.append(job.kind)
        self.running = len(busy)
        changed, self._changed = self._changed, set()
        return changed

    def _apart(self, work: Callable[..., bool | None], job: Job, *more: Any) -> bool:
        """One that is broken is given up; the others, and every launch, go on."""
        try:
            return bool(work(job, *more))
        except BROKEN as error:
            log.exception("job %s could not be looked after", job.pk)
            self._end(job, JobState.FAILED, error=f"It could not be looked after: {error!r}"[:500])
            return False

    def _note(self, job: Job, **facts: Any) -> None:
        if Job.objects.note(job, **facts):
            self._changed.add(job.pk)

    def _begin(self, job: Job, busy: list[str]) -> bool:
        """Whether it runs now; it waits while others of its kind do."""
        if not self._is_wanted(job):
            self._end(job, JobState.CANCELLED)
            return False
        if busy.count(job.kind) >= AT_ONCE[JobKind(job.kind)]:
            return False
        try:
            spec = LaunchSpec(
                job.pk, programs.command_of(job), programs.environment_of(job), job.directory, LOG_CAP
            )
            self.launcher.start(spec)
        except programs.CannotRun as obstacle:
            self._end(job, JobState.FAILED, error=obstacle.reason[:500], advice=obstacle.advice[:500])
            return False
        except LaunchError as error:
            self._end(job, JobState.FAILED, error=str(error)[:500])
            return False
        self._note(job, state=JobState.RUNNING, started_at=timezone.now())
        return True

    def _is_wanted(self, job: Job) -> bool:
        """By a person; or by the launch for which it was begun, while that one is wanted."""
        launch = job.launch
        return job.wanted and (launch is None or (not launch.ended and launch.instance.wants(launch)))

    def _follow(self, job: Job) -> None:
        ref = Ref(job.pk, job.directory)
        seen = self.launcher.observe(ref)
        if seen.keeper:
            self.keepers[job.pk] = seen.keeper
        self._read_progress(job)
        if not seen.alive:
            self._ended(job, seen)
        elif not self._is_wanted(job) and job.pk not in self._stopped:
            self._stopped.add(job.pk)
            self.launcher.stop(ref, GRACE)

    def _read_progress(self, job: Job) -> None:
        path = programs.progress_file(job)
        try:
            stamp = path.stat()
            if self._seen.get(job.pk) == (stamp.st_ino, stamp.st_mtime_ns):
                return
            self._seen[job.pk] = (stamp.st_ino, stamp.st_mtime_ns)
            progress = json.loads(path.read_text())
        except (OSError, ValueError):  # not written yet
            return
        if isinstance(progress, dict) and progress != job.progress:
            self._note(job, progress=progress)

    def _ended(self, job: Job, seen: Observation) -> None:
        if seen.exit and seen.exit.code == 0:
            self._end(job, JobState.DONE)
        elif not self._is_wanted(job):
            self._end(job, JobState.CANCELLED)
        elif job.pk in self._stopped:  # cancelled, and wanted again before it had ended
            self._end(job, JobState.CANCELLED)
            facts = {"kind": JobKind(job.kind), "subject": job.subject, "options": job.options}
            request_job(actor=job.asked_by, launch=job.launch, **facts)
        else:
            reason, advice = self._why(job, seen)
            self._end(job, JobState.FAILED, error=reason[:500], advice=advice[:500])

    def _why(self, job: Job, seen: Observation) -> tuple[str, str]:
        """What its program said last, or else how it ended and the end of its log."""
        again = "Try again; it goes on where it stopped."
        if failed := job.progress.get("failed"):
            return str(failed), str(job.progress.get("mend") or again)
        if seen.lost:
            return f"It was cut off: {seen.reason}.", again
        if seen.exit and seen.exit.spawn_error:
            return seen.exit.spawn_error, "Mend that, then try again."
        how = f"exit code {seen.exit.code}" if seen.exit and seen.exit.code is not None else "a signal"
        lines = store.read(job.directory, 0, LINES, tail=True).lines
        last = next((line.text for line in reversed(lines) if line.text.strip()), "")
        return f"It ended with {how}. {last}".strip(), again

    def _end(self, job: Job, state: JobState, **facts: Any) -> None:
        log.info("job %s, %s: %s", job.pk, job, state)
        self._stopped.discard(job.pk)
        self._seen.pop(job.pk, None)
        self._note(job, state=state, ended_at=timezone.now(), **facts)
        self.installed |= job.kind == JobKind.ENGINE and state == JobState.DONE
