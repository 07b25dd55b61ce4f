from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from instances import machine_card, metrics, pages
from monitoring import latest


@require_GET
def machine(request: HttpRequest) -> HttpResponse:
    """This machine: what it does now, thread by thread and disk by disk, who uses its GPUs, and since when."""
    readings = latest.newest()
    span = metrics.span_of(request.GET.get("range", ""))
    as_tables = request.GET.get("as") == "tables"
    sections = metrics.of_machine(readings, span)
    charts = metrics.facts(sections, span, reverse("machine"), as_tables=as_tables)
    if request.headers.get("HX-Target") == "charts":
        return render(request, "monitoring/_charts.html#charts", charts)
    page = pages.Page(kind="machine", span=span.slug)
    owners = machine_card.owners()
    row = pages.system(readings, owners)
    facts = {**row, **pages.machine(readings, owners), **charts, "live": page.query}
    return render(request, "instances/machine.html", facts)
