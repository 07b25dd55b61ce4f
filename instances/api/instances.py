"""The JSON API of instances. Shapes are a contract; other programs rely on them."""

from __future__ import annotations

from typing import Literal

import httpx
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field

from instances import fit_refusal, services
from instances.configuration import ConfigurationError, body_of, clean_configuration
from instances.logs import store
from instances.models import Instance, Launch

from .shapes import DeployBody, Json, Refusal, WrongFields, user_of, utc

models = Router(tags=["models"])


class LogQuery(Schema):
    offset: int | None = Field(None, ge=0)  # bytes; absent: the last `limit` lines
    limit: int = Field(1000, ge=1, le=10_000)  # lines
    search: str = ""
    level: Literal["", "warning", "error"] = ""  # of this one or worse
    launch: int | None = None  # absent: the last one


def launch_json(launch: Launch) -> Json:
    return {
        "id": launch.pk,
        "state": launch.state,
        "phase": launch.phase,
        "progress": launch.progress,
        "port": launch.port,
        "pid": launch.pid,
        "host": launch.host,
        "started_at": utc(launch.started_at),
        "ready_at": utc(launch.ready_at),
        "ended_at": utc(launch.ended_at),
        "exit_code": launch.exit_code,
        "error": launch.error,
    }


def instance_json(request: HttpRequest, instance: Instance) -> Json:
    restart = instance.restart
    return {
        "id": instance.pk,
        "name": instance.name,
        "served_name": instance.served_name,
        "model": instance.model,
        "desired_state": instance.desired_state,
        "restart": {**restart, "at": utc(restart["at"])} if restart else None,
        "endpoint": request.build_absolute_uri("/v1"),
        "launch": launch_json(instance.last_launch) if instance.last_launch else None,
    }


def instance_of(instance_id: int) -> Instance:
    return get_object_or_404(Instance.objects.visible().select_related("owner", "revision"), pk=instance_id)


# ---------------------------------------------------------------- instances


@models.post("/deploy", response={201: Json, 409: Refusal, 422: WrongFields})
def deploy(request: HttpRequest, body: DeployBody, force: bool = False) -> tuple[int, Json]:
    """Make an instance and, unless `start` is false, have it run.

    422 names each wrong field, also where the model cannot fit; `force` starts it all the same, for those who may.
    409 when as many instances should run as this console allows: nothing is saved.
    """
    user = user_of(request)
    wanted = clean_configuration(body.model_dump(exclude_unset=True), user=user)
    if unfit := fit_refusal.refusals(wanted, user=user, force=force):
        raise ConfigurationError(unfit)
    instance = services.deploy_instance(
        actor=user_of(request),
        name=wanted.name,
        served_name=wanted.served_name,
        config=wanted.config,
        restart_policy=wanted.restart_policy,
        start=wanted.start,
    )
    return 201, instance_json(request, instance)


@models.get("/list")
def list_instances(request: HttpRequest) -> list[Json]:
    return [instance_json(request, instance) for instance in Instance.objects.visible().with_launches()]


@models.get("/{int:instance_id}")
def get_instance(request: HttpRequest, instance_id: int) -> Json:
    return instance_json(request, instance_of(instance_id))


@models.patch("/{int:instance_id}", response={200: Json, 404: Refusal, 422: WrongFields})
def revise(request: HttpRequest, instance_id: int, body: DeployBody) -> Json:
    """A new revision of what is given; the rest stays. What runs goes on until it is restarted."""
    instance = instance_of(instance_id)
    given = body.model_dump(exclude_unset=True)
    wanted = clean_configuration({**body_of(instance), **given}, user=user_of(request), instance=instance)
    services.revise_instance(
        actor=user_of(request),
        instance=instance,
        config=wanted.config,
        served_name=wanted.served_name,
        restart_policy=wanted.restart_policy,
    )
    return instance_json(request, instance_of(instance_id))


@models.post("/{int:instance_id}/start", response={202: Json})
def start(request: HttpRequest, instance_id: int) -> tuple[int, Json]:
    services.start_instance(actor=user_of(request), instance=instance_of(instance_id))
    return 202, instance_json(request, instance_of(instance_id))


@models.post("/{int:instance_id}/stop", response={202: Json})
def stop(request: HttpRequest, instance_id: int) -> tuple[int, Json]:
    """Asked again while it is stopping, it is forced."""
    services.stop_instance(actor=user_of(request), instance=instance_of(instance_id))
    return 202, instance_json(request, instance_of(instance_id))


@models.post("/{int:instance_id}/restart", response={202: Json})
def restart(request: HttpRequest, instance_id: int) -> tuple[int, Json]:
    services.restart_instance(actor=user_of(request), instance=instance_of(instance_id))
    return 202, instance_json(request, instance_of(instance_id))


@models.delete("/{int:instance_id}", response={202: Json})
def remove(request: HttpRequest, instance_id: int) -> tuple[int, Json]:
    """Stops it first. Its history and logs stay; the name is free again."""
    instance = instance_of(instance_id)
    services.remove_instance(actor=user_of(request), instance=instance)
    return 202, instance_json(request, instance)


# ---------------------------------------------------------------- logs, metrics, history


@models.get("/{int:instance_id}/logs")
def logs(request: HttpRequest, instance_id: int, query: Query[LogQuery]) -> Json:
    """Lines of the log from a byte offset on; `next_offset` is where to go on."""
    instance = instance_of(instance_id)
    launch = (
        get_object_or_404(instance.launches.all(), pk=query.launch) if query.launch else instance.last_launch
    )
    if launch is None:
        return {"lines": [], "next_offset": 0}
    newest = query.offset is None and not query.search
    page = store.read(
        launch.directory, query.offset or 0, query.limit, query.search, tail=newest, level=query.level
    )
    return {
        "lines": [
            {"offset": line.offset, "time": line.time, "level": line.level, "text": line.text}
            for line in page.lines
        ],
        "next_offset": page.next_offset,
    }


@models.get("/{int:instance_id}/metrics")
def engine_metrics(request: HttpRequest, instance_id: int) -> HttpResponse:
    """The engine's own Prometheus page, relayed."""
    launch = instance_of(instance_id).last_launch
    if launch is None or not launch.serving:
        return HttpResponse("The engine does not run.\n", status=503, content_type="text/plain")
    try:
        answer = httpx.get(f"{launch.base_url}/metrics", timeout=3.0, follow_redirects=False, trust_env=False)
    except httpx.HTTPError:
        return HttpResponse("The engine does not answer.\n", status=502, content_type="text/plain")
    return HttpResponse(
        answer.content,
        status=answer.status_code,
        content_type=answer.headers.get("content-type", "text/plain"),
    )


@models.get("/{int:instance_id}/launches")
def launches(request: HttpRequest, instance_id: int) -> list[Json]:
    rows = instance_of(instance_id).launches.select_related("revision", "asked_by")[:500]
    return [
        {
            **launch_json(launch),
            "revision": launch.revision.number,
            "asked_by": launch.asked_by.username if launch.asked_by else None,
            "attempt": launch.attempt,
            "phases": launch.phases,
            "advice": launch.advice,
            "estimate": launch.estimate,
            "measured": launch.measured,
        }
        for launch in rows
    ]
