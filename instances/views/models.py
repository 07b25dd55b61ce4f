from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from instances import pages, shelf, tokens
from instances.jobs.services import NotFetchable, cancel_job, request_download
from instances.models import Job, JobKind

MANAGE_TOKENS = "instances.manage_tokens"


@require_GET
def models(request: HttpRequest) -> HttpResponse:
    """What is on this machine, what is on its way, and what the hubs have."""
    page = pages.Page(kind="models")
    facts = {**pages.models(), **_search(request), **_tokens(request), "live": page.query}
    if request.headers.get("HX-Target") == "found":
        return render(request, "instances/models.html#found", facts)
    return render(request, "instances/models.html", facts)


@require_GET
def names(request: HttpRequest) -> HttpResponse:
    """What the deploy form offers while a model's name is typed: those here first."""
    text = request.GET.get("model", "")
    facts = {
        "here": shelf.here(),
        "search": shelf.search(text, "huggingface") if not text.startswith("/") else None,
    }
    return render(request, "instances/models.html#names", facts)


@require_POST
def download(request: HttpRequest) -> HttpResponse:
    """Fetch a model, or go on with it."""
    refusal = ""
    try:
        request_download(actor=_user(request), model=request.POST.get("model", ""))
    except NotFetchable as wrong:
        refusal = str(wrong)
    return _downloads(request, refusal)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    cancel_job(actor=_user(request), job=get_object_or_404(Job, pk=pk, kind=JobKind.MODEL))
    return _downloads(request)


@require_POST
@permission_required(MANAGE_TOKENS, raise_exception=True)
def token(request: HttpRequest, hub: str) -> HttpResponse:
    """Keep a hub's token, or remove it. It is never sent back."""
    wrong = ""
    try:
        if "remove" in request.POST:
            tokens.remove(actor=_user(request), hub=hub)
        else:
            tokens.keep(actor=_user(request), hub=hub, token=request.POST.get("token", ""))
    except tokens.NoToken as error:
        wrong = str(error)
    if not request.headers.get("HX-Request"):
        return redirect("models")
    facts = _tokens(request) | {"wrong_hub": hub if wrong else "", "wrong": wrong}
    return render(request, "instances/models.html#tokens", facts, status=422 if wrong else 200)


def _downloads(request: HttpRequest, refusal: str = "") -> HttpResponse:
    if not request.headers.get("HX-Request"):
        return redirect("models")
    facts = pages.downloads() | {"refusal": refusal}
    return render(request, "instances/models.html#downloads", facts, status=422 if refusal else 200)


def _search(request: HttpRequest) -> dict[str, Any]:
    source = request.GET.get("source", "")
    source = source if source in shelf.SOURCES else "huggingface"
    return {"search": shelf.search(request.GET.get("q", ""), source), "sources": _sources(source)}


def _sources(chosen: str) -> list[tuple[str, str, bool]]:
    return [(name, tokens.HUBS[name].title, name == chosen) for name in shelf.SOURCES]


def _tokens(request: HttpRequest) -> dict[str, Any]:
    return {"tokens": tokens.kept(), "may_manage_tokens": request.user.has_perm(MANAGE_TOKENS)}


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
