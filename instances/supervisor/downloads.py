"""Whether a launch must wait until its model is on this machine, and the download that it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from instances import presence
from instances.catalog.space import words
from instances.jobs.services import request_job
from instances.models import Job, JobKind, JobState, Launch
from instances.vllm.engines import Engine

from .obstacle import Obstacle

PHASE = "download"
FETCHED = "fetched"  # of a launch's phases: seconds that it waited for its model
NOT_LOADED = (
    "dummy",
    "runai_streamer",
    "runai_streamer_sharded",
    "tensorizer",
    "gguf",
)  # no files, or others


def why_to_wait(launch: Launch, engine: Engine) -> dict[str, Any]:
    """What is to be noted of a launch whose model is on its way; empty when there is nothing to wait for.

    Raises Obstacle when the download failed or was cancelled. An engine whose Python is not known fetches its
    model itself, as vLLM does.
    """
    config = launch.revision.config
    if engine.python is None or presence.is_here(config) or _flag(config, "load-format") in NOT_LOADED:
        return {}
    model = str(config["model"])
    newest = Job.objects.here().of(JobKind.MODEL, model).order_by("-pk").first()
    if newest is None or (not newest.is_open and newest.created < launch.created):
        options = {"engine": config.get("engine"), "revision": _flag(config, "revision")}
        if presence.wants_mistral(config):
            options["mistral"] = True
        newest = request_job(
            actor=launch.asked_by, kind=JobKind.MODEL, subject=model, options=options, launch=launch
        )
    if newest.state == JobState.FAILED:
        raise Obstacle(newest.error, newest.advice)
    if newest.state == JobState.CANCELLED:
        raise Obstacle(
            "The download of its model was cancelled.", "Start it again; it goes on where it stopped."
        )
    if newest.state == JobState.DONE:
        return {}
    percent = newest.percent
    return {
        "phase": PHASE,
        "phases": {"seen": [PHASE], "seconds": {}},
        "progress": None if percent is None else [percent, 100],
        "note": said_of(newest)[:300],
    }


def fetched(launch: Launch) -> dict[str, float]:
    """How long its start waited for a download, for its phases; empty when it did not."""
    job = Job.objects.here().of(JobKind.MODEL, str(launch.revision.config["model"])).order_by("-pk").first()
    # One whose files are all there may not have been seen to end yet.
    if job is None or job.state not in (JobState.DONE, JobState.RUNNING):
        return {}
    waited = (job.ended_at or timezone.now()) - max(job.created, launch.created)
    return {FETCHED: round(waited.total_seconds(), 3)} if waited.total_seconds() > 0 else {}


def said_of(job: Job) -> str:
    """`Downloading Qwen/Qwen3-8B: 1.2 GB of 16.4 GB, 85 MB/s`, as far as it is known."""
    progress = job.progress
    if job.state == JobState.WAITING:
        return f"Waits for its turn to download {job.subject}."
    if not progress.get("total") or progress.get("done") is None:
        return str(progress.get("text") or f"Downloading {job.subject}")
    said = f"Downloading {job.subject}: {words(progress['done'])} of {words(progress['total'])}"
    return f"{said}, {words(progress['speed'])}/s" if progress.get("speed") else said


def _flag(config: Mapping[str, Any], name: str) -> Any:
    return (config.get("args") or {}).get(name)
