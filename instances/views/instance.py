from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from instances import latest, pages
from instances.cards import Card
from instances.logs import store
from instances.models import Instance, Launch

from .commands import command_of


def visible_instance(pk: int) -> Instance:
    """With its last launch at hand. Raises Http404."""
    found = Instance.objects.visible().filter(pk=pk).with_launches()
    return found[0] if found else get_object_or_404(Instance.objects.none())


@require_GET
def instance(request: HttpRequest, pk: int, tab: str = "overview") -> HttpResponse:
    """One instance: how it is, its log, its numbers, its history, its configuration."""
    wanted = visible_instance(pk)
    launch = wanted.last_launch
    page = pages.Page(kind="instance", instance=pk, tab=tab, launch=launch.pk if launch else 0)
    facts = pages.instance(wanted, page, latest.readings()) | {
        "tabs": pages.TABS,
        "live": page.query,
        "sidebar_here": pk,
        "launches": wanted.launches.count(),
        "address": request.build_absolute_uri("/v1"),
    }
    if tab in ("overview", "logs"):
        facts |= pages.log(launch)
    if tab == "configuration":
        facts |= _configuration(wanted)
    return render(request, "instances/instance.html", facts)


@require_GET
def launch(request: HttpRequest, pk: int, launch_pk: int) -> HttpResponse:
    """One launch, how it went and its log; those of removed instances too, for history leads here."""
    found = get_object_or_404(Launch.objects.with_people(), pk=launch_pk, instance_id=pk)
    found.instance.last_launch = found
    facts = {
        "card": Card(found.instance),
        "launch": found,
        "launch_number": pages.number_of(found),
        "live": pages.Page(instance=pk).query,
        "sidebar_here": pk,
        **pages.log(found),
    }
    return render(request, "instances/launch.html", facts)


def _configuration(wanted: Instance) -> pages.Facts:
    return {
        "command": command_of(wanted.config, wanted.served_name, wanted.name),
        "settings": {key: _shown(value) for key, value in wanted.config.items()},
        "revisions": list(wanted.revisions.select_related("author")[:50]),
    }


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@require_GET
def launch_text(request: HttpRequest, pk: int, launch_pk: int) -> StreamingHttpResponse:
    """The whole log of a launch as plain text, one line a line."""
    found = get_object_or_404(Launch.objects.select_related("instance"), pk=launch_pk, instance_id=pk)
    name = f"{found.instance.name}-launch-{found.pk}.log"
    return StreamingHttpResponse(
        _text(found.directory),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'inline; filename="{name}"', "X-Content-Type-Options": "nosniff"},
    )


async def _text(directory: Path) -> AsyncIterator[str]:
    """Some thousand lines at a time, so that a large log is never in memory as a whole."""
    offset = 0
    while True:
        page = await sync_to_async(store.read, thread_sensitive=False)(directory, offset, 5000)
        yield "".join(f"{line.time or '-':24} {line.text}\n" for line in page.lines)
        if page.next_offset <= offset or not page.lines:
            return
        offset = page.next_offset
