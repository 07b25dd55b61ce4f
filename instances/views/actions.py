"""The buttons of a card and of a head: one service call each, then the fresh partial, or the page again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from instances import pages, services
from monitoring import latest

from .instance import visible_instance


def _act(request: HttpRequest, pk: int, decide: Callable[..., Any]) -> HttpResponse:
    """Refused: 409 with the sentence as plain text, which the page shows as a toast."""
    assert isinstance(request.user, User)
    try:
        decide(actor=request.user, instance=visible_instance(pk))
    except services.Refused as refused:
        if request.headers.get("HX-Request"):
            return HttpResponse(str(refused), status=409, content_type="text/plain; charset=utf-8")
        messages.error(request, str(refused))
        return redirect("instance", pk)
    if not request.headers.get("HX-Request"):
        return redirect("instance", pk)
    facts = pages.instance(visible_instance(pk), pages.Page(), latest.readings())
    on_dashboard = request.headers.get("HX-Target") == f"instance-{pk}"
    partial = "instances/dashboard.html#card" if on_dashboard else "instances/instance.html#head"
    facts["address"] = request.build_absolute_uri("/v1")
    return render(request, partial, facts)


@require_POST
def start(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, services.start_instance)


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Pressed again while it is stopping, it is forced."""
    return _act(request, pk, services.stop_instance)


@require_POST
def restart(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, services.restart_instance)


@require_http_methods(["GET", "POST"])
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first: a dialog over the page, or a page of its own without script."""
    wanted = visible_instance(pk)
    if request.method == "POST":
        assert isinstance(request.user, User)
        services.remove_instance(actor=request.user, instance=wanted)
        return redirect("dashboard")
    part = "#dialog" if request.headers.get("HX-Request") else ""
    return render(request, f"instances/remove.html{part}", {"instance": wanted, "sidebar_here": pk})
