from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from instances import log_card, metrics, pages, revisions
from instances.log_card import Ask
from instances.logs import store
from instances.models import Instance, Launch
from instances.query import number_in
from monitoring import latest
from monitoring.charts import Range

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
    ask = Ask.from_query(request.GET)
    if tab == "logs" and launch and (part := log_card.part_of(request)):
        return render(request, f"instances/instance.html#{part}", pages.log(launch, tab, ask))
    span = metrics.span_of(metrics.OVERVIEW if tab == "overview" else request.GET.get("range", ""))
    if request.headers.get("HX-Target") == "charts":
        return render(request, "monitoring/_charts.html#charts", _charts(request, wanted, tab, span))
    page = pages.Page(
        kind="instance",
        instance=pk,
        tab=tab,
        span=span.slug if tab in ("overview", "metrics") else "",
        launch=launch.pk if launch else 0,
    )
    facts = pages.instance(wanted, page, latest.newest()) | {
        "tabs": pages.TABS,
        "live": page.query,
        "sidebar_here": pk,
        "launches": wanted.launches.count(),
        "address": request.build_absolute_uri("/v1"),
    }
    if tab in ("overview", "logs"):
        facts |= pages.log(launch, tab, ask if tab == "logs" else Ask())
    if tab in ("overview", "metrics"):
        facts |= _charts(request, wanted, tab, span)
    if tab == "configuration":
        facts |= _configuration(
            wanted, number_in(request.GET.get("left")), number_in(request.GET.get("right"))
        )
    return render(request, "instances/instance.html", facts)


def _charts(request: HttpRequest, wanted: Instance, tab: str, span: Range) -> pages.Facts:
    first = tab == "overview"
    url = reverse("instance", args=[wanted.pk]) if first else reverse("instance-tab", args=[wanted.pk, tab])
    as_tables = request.GET.get("as") == "tables"
    return metrics.facts(
        metrics.of_instance(wanted, span, first=first), span, url, as_tables=as_tables, lean=first
    )


@require_GET
def launch(request: HttpRequest, pk: int, launch_pk: int) -> HttpResponse:
    """One launch, how it went and its log; those of removed instances too, for history leads here."""
    found = get_object_or_404(Launch.objects.with_people(), pk=launch_pk, instance_id=pk)
    log = pages.log(found, ask=Ask.from_query(request.GET))
    if part := log_card.part_of(request):
        return render(request, f"instances/instance.html#{part}", log)
    facts = {
        **pages.launch(found),
        "live": pages.Page(kind="launch", instance=pk, launch=launch_pk).query,
        "sidebar_here": pk,
        **log,
    }
    return render(request, "instances/launch.html", facts)


def _configuration(wanted: Instance, left: int, right: int) -> pages.Facts:
    lines = revisions.lines_of(wanted)
    return {
        "command": command_of(wanted.config, wanted.served_name, wanted.name),
        "settings": {key: revisions.shown(value) for key, value in wanted.config.items()},
        "lines": lines,
        "comparison": revisions.compared(lines, left, right),
    }


@require_GET
def launch_text(request: HttpRequest, pk: int, launch_pk: int) -> StreamingHttpResponse:
    """The whole log of a launch as plain text, one line a line; with `?download` as a file."""
    found = get_object_or_404(Launch.objects.select_related("instance"), pk=launch_pk, instance_id=pk)
    name = f"{found.instance.name}-launch-{pages.number_of(found)}.log"
    kind = "attachment" if "download" in request.GET else "inline"
    return StreamingHttpResponse(
        _text(found.directory),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'{kind}; filename="{name}"', "X-Content-Type-Options": "nosniff"},
    )


async def _text(directory: Path) -> AsyncIterator[str]:
    """Some thousand lines at a time, so that a large log is never in memory as a whole."""
    offset = 0
    while True:
        page = await sync_to_async(store.read, thread_sensitive=False)(directory, offset, 2000)
        yield "".join(f"{line.time or '-':24} {line.text}\n" for line in page.lines)
        if page.next_offset <= offset or not page.lines:
            return
        offset = page.next_offset
