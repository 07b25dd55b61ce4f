from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from instances import cards, machine_card, pages
from instances.vllm import engines
from monitoring import latest


@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """The machine, the instances, and what happened lately."""
    show = request.GET.get("show", "all")
    page = pages.Page(kind="dashboard", show=show if show in cards.SHOW else "all")
    readings = latest.newest()
    engine = engines.find()
    shown = pages.dashboard(page.show, readings)
    facts = {
        **pages.system(readings, machine_card.owners_of(shown["sidebar_instances"])),
        **shown,
        "live": page.query,
        "missing": engine if isinstance(engine, engines.Missing) else None,
        "address": request.build_absolute_uri("/v1"),
    }
    return render(request, "instances/dashboard.html", facts)
