"""Engines for programs: which stand side by side, another one installed, one removed."""

from __future__ import annotations

from typing import Any, Literal

from django.http import Http404, HttpRequest
from ninja import Router, Schema
from pydantic import ConfigDict, Field

from instances import engine_rows, engine_services
from instances.models import MANAGE_ENGINES, Job

from .jobs import JobAnswer
from .shapes import Json, Refusal, WrongFields, user_of

engine_router = Router(tags=["engines"])

FORBIDDEN = {"detail": "Engines are managed by those who may: ask an administrator."}


class EngineAnswer(Schema):
    """One engine, or one that is missing for a reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "slug": "cpu-0.31.0",
                    "engine": "0.31.0+cpu",
                    "version": "0.31.0+cpu",
                    "accelerator": "cpu",
                    "path": "/home/mia/.local/share/llmops/engines/cpu-0.31.0",
                    "works": True,
                    "reason": "",
                    "advice": "",
                    "default": False,
                    "installing": False,
                    "removable": True,
                    "instances": ["qwen"],
                    "flags": 312,
                    "flags_version": "0.31.0",
                }
            ]
        }
    )
    slug: str
    engine: str = Field(description="as a deploy names it; empty where it does not work")
    version: str
    accelerator: str = Field(description="cpu or cuda")
    path: str
    works: bool
    reason: str = Field(description="why it does not work")
    advice: str = Field(description="what to do about that")
    default: bool = Field(description="whether instances run on it that name no engine")
    installing: bool
    removable: bool = Field(
        description="whether it can be removed now: it was chosen here, and nothing uses it"
    )
    instances: list[str] = Field(description="names of those that run on it, now or at their next start")
    flags: int = Field(description="how many it knows")
    flags_version: str = Field(
        description="whose flags these are; another version's where it was not asked yet"
    )


class InstallBody(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"version": "0.31.0", "accelerator": "cpu"}]}
    )
    version: str = Field(max_length=50)
    accelerator: Literal["cpu", "cuda"] | None = Field(None, description="absent: as the machine has it")


def _json(row: engine_rows.Row) -> Json:
    found, flags = row.found, row.flags
    return {
        "slug": found.slug,
        "engine": row.name,
        "version": found.version,
        "accelerator": found.accelerator,
        "path": str(found.path),
        "works": found.engine is not None,
        "reason": found.missing.reason if found.missing else "",
        "advice": found.missing.mend if found.missing else "",
        "default": found.default,
        "installing": found.installing,
        "removable": row.can_go,
        "instances": list(row.users),
        "flags": len(flags.flags) if flags else 0,
        "flags_version": flags.version if flags else "",
    }


@engine_router.get("", response=list[EngineAnswer])
def list_engines(request: HttpRequest) -> list[Json]:
    """The default one first, then the newest."""
    return [_json(row) for row in engine_rows.rows()]


@engine_router.post("", response={202: JobAnswer, 403: Refusal, 422: WrongFields})
def install(request: HttpRequest, body: InstallBody) -> tuple[int, Job | Json]:
    """Install a version beside the others; one that is on its way already is the answer.

    Follow it at `/api/jobs/{id}`, and cancel it there.
    """
    user = user_of(request)
    if not user.has_perm(MANAGE_ENGINES):
        return 403, FORBIDDEN
    try:
        job = engine_services.request_engine(
            actor=user, version=body.version, accelerator=body.accelerator or ""
        )
    except engine_services.NotInstallable as wrong:
        return 422, {"detail": [{"field": "version", "message": str(wrong)}]}
    return 202, job


@engine_router.delete("/{slug}", response={204: None, 403: Refusal, 404: Refusal, 409: Refusal})
def remove(request: HttpRequest, slug: str) -> tuple[int, Any]:
    """Take one off the disk that was installed here and that no instance uses; else 409 with the reason."""
    user = user_of(request)
    if not user.has_perm(MANAGE_ENGINES):
        return 403, FORBIDDEN
    try:
        engine_services.remove_engine(actor=user, slug=slug)
    except LookupError:
        raise Http404("There is no such engine.") from None
    except engine_services.Stays as stays:
        return 409, {"detail": str(stays)}
    return 204, None
