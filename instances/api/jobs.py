"""Long tasks for programs: downloads and installations, how far each is, and its end."""

from __future__ import annotations

import datetime as dt

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema
from pydantic import ConfigDict, Field

from instances.jobs.services import cancel_job
from instances.models import MANAGE_ENGINES, Job, JobKind

from .shapes import Refusal, user_of

jobs = Router(tags=["jobs"])


class Progress(Schema):
    text: str = ""
    done: int | None = Field(None, description="bytes")
    total: int | None = Field(None, description="bytes")
    speed: float | None = Field(None, description="bytes a second")
    eta: float | None = Field(None, description="seconds")


class JobAnswer(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 3,
                    "kind": "model",
                    "subject": "Qwen/Qwen3-8B",
                    "state": "running",
                    "progress": {
                        "text": "Downloading model-00001-of-00005.safetensors",
                        "done": 1_200_000_000,
                        "total": 16_400_000_000,
                        "speed": 85_000_000.0,
                        "eta": 178.8,
                    },
                    "error": "",
                    "advice": "",
                    "created": "2026-11-25T12:00:00Z",
                    "started_at": "2026-11-25T12:00:01Z",
                    "ended_at": None,
                }
            ]
        }
    )
    id: int
    kind: str = Field(description="model, engine or flags")
    subject: str = Field(description="the model, or the version, as it was asked for")
    state: str = Field(description="waiting, running, done, failed or cancelled")
    progress: Progress
    error: str
    advice: str
    created: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None


@jobs.get("", response=list[JobAnswer])
def list_jobs(request: HttpRequest) -> list[Job]:
    """The newest hundred of this host, the newest first."""
    return list(Job.objects.here().order_by("-pk")[:100])


@jobs.get("/{int:job_id}", response={200: JobAnswer, 404: Refusal})
def get_job(request: HttpRequest, job_id: int) -> Job:
    return get_object_or_404(Job, pk=job_id)


@jobs.delete("/{int:job_id}", response={202: JobAnswer, 403: Refusal, 404: Refusal})
def cancel(request: HttpRequest, job_id: int) -> tuple[int, Job | dict[str, str]]:
    """Ask for its end. What it has fetched stays, and the next one goes on from there; one that ended stays."""
    job = get_object_or_404(Job, pk=job_id)
    if job.kind != JobKind.MODEL and not user_of(request).has_perm(MANAGE_ENGINES):
        return 403, {"detail": "Engines are managed by those who may: ask an administrator."}
    cancel_job(actor=user_of(request), job=job)
    return 202, get_object_or_404(Job, pk=job_id)
