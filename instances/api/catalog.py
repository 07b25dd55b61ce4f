"""Models for programs: those on this machine, those on the hubs, and the downloads between."""

from __future__ import annotations

from typing import Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from instances import shelf
from instances.catalog.scan import Here
from instances.jobs.services import NotFetchable, request_download
from instances.models import Job, Preset

from .jobs import JobAnswer
from .shapes import Json, Refusal, WrongFields, user_of

catalog = Router(tags=["catalog"])


class HereAnswer(Schema):
    """One model on this machine."""

    model: str = Field(description="as a deploy takes it: a hub id or a path")
    where: str = Field(description="cache, root, modelscope or package")
    revision: str
    architecture: str
    parameters: int | None
    dtype: str
    quantization: str
    task: str = Field(description="generate, embed, rerank, classify or unknown")
    size: int = Field(description="bytes on the disk")
    missing: str = Field(description="what it lacks to be served; empty when it is complete")


class HitAnswer(Schema):
    """One model on a hub."""

    model: str = Field(description="as a deploy or a download takes it")
    task: str
    parameters: int | None
    downloads: int
    likes: int
    gated: bool
    here: bool = Field(description="whether it is on this machine")


class PresetAnswer(Schema):
    """A configuration that was tried: deploy it by its slug."""

    slug: str
    title: str
    family: str
    summary: str
    size: str = Field(description="of the weights, in words")
    gpu_memory: int = Field(description="GB of one GPU that it was made for; 0: needs none")
    gpus: int
    configuration: Json


class SearchQuery(Schema):
    q: str = Field(min_length=shelf.SHORTEST, max_length=200)
    source: Literal["huggingface", "modelscope"] = "huggingface"


class DownloadBody(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"model": "Qwen/Qwen3-8B"}]})
    model: str = Field(max_length=500)
    source: Literal["huggingface", "modelscope"] = "huggingface"
    revision: str = Field("", max_length=200, description="a branch, a tag or a commit")


@catalog.get("/models", response=list[HereAnswer])
def models(request: HttpRequest) -> list[Here]:
    """The models in the model roots and in the Hugging Face cache."""
    return shelf.here()


@catalog.get("/presets", response=list[PresetAnswer])
def presets(request: HttpRequest) -> list[Preset]:
    """What the deploy form offers."""
    return list(Preset.objects.offered())


@catalog.get("/search", response={200: list[HitAnswer], 422: WrongFields, 502: Refusal})
def search(request: HttpRequest, query: Query[SearchQuery]) -> tuple[int, list[Json] | Json]:
    """What a hub has by a name or a part of one. 502 when it did not answer, with the reason."""
    found = shelf.search(query.q, query.source)
    if found.trouble:
        return 502, {"detail": f"{found.trouble.reason} {found.trouble.mend}"}
    return 200, [
        {
            "model": one.model,
            "task": one.hit.task,
            "parameters": one.hit.parameters,
            "downloads": one.hit.downloads,
            "likes": one.hit.likes,
            "gated": one.hit.gated,
            "here": one.is_here,
        }
        for one in found.found
    ]


@catalog.post("/downloads", response={202: JobAnswer, 422: WrongFields})
def download(request: HttpRequest, body: DownloadBody) -> tuple[int, Job | Json]:
    """Fetch a model, or go on with it; one that is on its way already is the answer. Follow it at `/api/jobs/{id}`."""
    is_name = not body.model.startswith(("/", ".", "~"))
    model = shelf.named(body.model, body.source) if is_name else body.model
    try:
        job = request_download(actor=user_of(request), model=model, revision=body.revision)
    except NotFetchable as wrong:
        return 422, {"detail": [{"field": "model", "message": str(wrong)}]}
    return 202, job
