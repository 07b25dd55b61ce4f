"""What an instance was, for programs: its revisions, what differs between two, and one of them once more."""

from __future__ import annotations

import datetime as dt

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field

from instances import services
from instances.configuration import body_of_revision, clean_configuration
from instances.models import Revision
from instances.revisions import changes

from .instances import instance_json, instance_of
from .shapes import Json, Refusal, WrongFields, user_of

revisions = Router(tags=["models"])


class RevisionAnswer(Schema):
    number: int
    author: str | None
    created: dt.datetime
    served_name: str
    restart_policy: str
    configuration: Json = Field(
        examples=[{"model": "Qwen/Qwen3-8B", "max_model_len": 16384, "args": {"seed": 7}}]
    )


class Pair(Schema):
    left: int = Field(ge=1, description="number of the older revision")
    right: int = Field(ge=1, description="number of the newer one")


class DifferenceAnswer(Schema):
    """One setting that differs. An empty side is automatic."""

    key: str = Field(examples=["max_model_len", "--seed", "VLLM_LOGGING_LEVEL"])
    left: str
    right: str


@revisions.get("/{int:instance_id}/revisions", response={200: list[RevisionAnswer], 404: Refusal})
def list_revisions(request: HttpRequest, instance_id: int) -> list[Json]:
    """Newest first."""
    rows: list[Revision] = list(instance_of(instance_id).revisions.select_related("author"))
    return [
        {
            "number": revision.number,
            "author": revision.author.username if revision.author else None,
            "created": revision.created,
            "served_name": revision.served_name,
            "restart_policy": revision.restart_policy,
            "configuration": revision.config,
        }
        for revision in rows
    ]


@revisions.get(
    "/{int:instance_id}/compare", response={200: list[DifferenceAnswer], 404: Refusal, 422: WrongFields}
)
def compare(request: HttpRequest, instance_id: int, pair: Query[Pair]) -> list[Json]:
    """What differs between two revisions, setting by setting."""
    found = instance_of(instance_id).revisions.all()
    left, right = (get_object_or_404(found, number=number) for number in (pair.left, pair.right))
    return [{"key": one.key, "left": one.left, "right": one.right} for one in changes(left, right)]


@revisions.post(
    "/{int:instance_id}/revisions/{int:number}/deploy",
    response={202: Json, 404: Refusal, 409: Refusal, 422: WrongFields},
)
def again(request: HttpRequest, instance_id: int, number: int) -> tuple[int, Json]:
    """Have an earlier revision run once more: a new one that says the same, judged by today's rules."""
    instance = instance_of(instance_id)
    revision = get_object_or_404(instance.revisions.all(), number=number)
    wanted = clean_configuration(body_of_revision(revision), user=user_of(request), instance=instance)
    services.deploy_again(
        actor=user_of(request),
        instance=instance,
        config=wanted.config,
        served_name=wanted.served_name,
        restart_policy=wanted.restart_policy,
    )
    return 202, instance_json(request, instance_of(instance_id))
