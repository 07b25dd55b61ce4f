from __future__ import annotations

import os
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from instances import engine_services, pages
from instances.jobs.services import cancel_job
from instances.models import MANAGE_ENGINES, Job, JobKind
from instances.vllm import engines as installed
from instances.vllm import offered, resolution
from instances.vllm.accelerators import accelerator
from instances.vllm.engines import REQUIREMENTS, Accelerator


@require_http_methods(["GET", "POST"])
def engines(request: HttpRequest) -> HttpResponse:
    """What stands side by side; posted to, another version is installed."""
    if request.method == "POST":
        return _install(request)
    return render(request, "instances/engines.html", _facts(request))


@require_GET
@permission_required(MANAGE_ENGINES, raise_exception=True)
def versions(request: HttpRequest) -> HttpResponse:
    """What the package index offers, asked when somebody is about to choose."""
    kind = _kind(request.GET.get("accelerator", ""))
    facts = {"versions": _new(offered.versions(installed.home(os.environ), kind), kind)}
    return render(request, "instances/engines.html#versions", facts)


@require_POST
@permission_required(MANAGE_ENGINES, raise_exception=True)
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    cancel_job(actor=_user(request), job=get_object_or_404(Job, pk=pk, kind=JobKind.ENGINE))
    if not request.headers.get("HX-Request"):
        return redirect("engines")
    return render(request, "instances/engines.html#installations", _facts(request))


@require_http_methods(["GET", "POST"])
@permission_required(MANAGE_ENGINES, raise_exception=True)
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks first: a dialog over the page, or a page of its own without script."""
    found = next((one for one in installed.every() if one.slug == slug), None)
    if found is None:
        raise Http404
    if request.method == "POST":
        try:
            engine_services.remove_engine(actor=_user(request), slug=slug)
        except engine_services.Stays as stays:
            messages.error(request, str(stays))
        else:
            messages.success(request, _("vLLM %(version)s is removed.") % {"version": found.version})
        return redirect("engines")
    part = "#dialog" if request.headers.get("HX-Request") else ""
    return render(request, f"instances/engine_remove.html{part}", {"engine": found})


@permission_required(MANAGE_ENGINES, raise_exception=True)
def _install(request: HttpRequest) -> HttpResponse:
    version, kind = request.POST.get("version", "")[:50], _kind(request.POST.get("accelerator", ""))
    wrong = ""
    try:
        engine_services.request_engine(actor=_user(request), version=version, accelerator=kind)
    except engine_services.NotInstallable as nothing:
        wrong = str(nothing)
    if not wrong and not request.headers.get("HX-Request"):
        return redirect("engines")
    facts = _facts(request) | {"kind": kind, "wrong": wrong, "asked": version if wrong else ""}
    page = "instances/engines.html" + ("#asked" if request.headers.get("HX-Request") else "")
    return render(request, page, facts, status=422 if wrong else 200)


def _facts(request: HttpRequest) -> dict[str, Any]:
    default = installed.find()
    kind = accelerator() if isinstance(default, installed.Missing) else default.accelerator
    return pages.engines() | {
        "may_manage": request.user.has_perm(MANAGE_ENGINES),
        "home": installed.home(os.environ),
        "kind": kind,
        "versions": _new(resolution.versions(installed.home(os.environ), kind), kind),
        "live": pages.Page(kind="engines").query,
    }


def _new(versions: list[str], kind: Accelerator) -> list[str]:
    """Those that are not here yet."""
    working = [one.engine for one in installed.every() if one.engine]
    here = {engine.plain_version for engine in working if engine.accelerator == kind}
    return [one for one in versions if one not in here]


def _kind(given: str) -> Accelerator:
    return next((kind for kind in REQUIREMENTS if kind == given), "cpu")


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
