"""Engines whose flags nobody knows yet are asked for them, each once, by a job."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from instances.jobs.services import request_job
from instances.models import Job, JobKind, JobState
from instances.vllm import engines, own_command
from instances.vllm.schema import load, shipped


def request_missing() -> bool:
    """At a start and after an installation. True: an engine has not said its version yet, so ask again later."""
    later = False
    for found in engines.every():
        engine = found.engine
        if engine is None or engine.python is None:
            continue
        if engine.asking:
            later = True
        elif not _is_known(engine) and not _gave_up(engine):
            request_job(actor=None, kind=JobKind.FLAGS, subject=engine.slug)
    return later


def _is_known(engine: engines.Engine) -> bool:
    """That of an engine of one's own may be another version's, from before its command was changed."""
    if engine.plain_version == shipped().version:
        return True
    try:
        told = load(Path(settings.LLMOPS_DATA) / "flags" / f"{engine.slug}.json").version
    except (OSError, ValueError, KeyError):
        return False
    return engine.plain_version in (told, own_command.UNKNOWN)


def _gave_up(engine: engines.Engine) -> bool:
    """Whether it was asked since it was installed, and would not say: it would not say now either."""
    newest = Job.objects.here().of(JobKind.FLAGS, engine.slug).order_by("-pk").first()
    if newest is None or newest.state not in (JobState.FAILED, JobState.CANCELLED):
        return False
    try:
        return newest.created.timestamp() > engine.path.stat().st_mtime
    except OSError:  # it has gone meanwhile
        return True
