"""API keys: what programs use instead of a password, and how they use it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.forms import KeyForm
from accounts.models import User
from accounts.services import create_api_key, revoke_api_key

from ..snippets import LANGUAGES, snippet
from ..targets import running_targets


def _page(
    request: HttpRequest, template: str = "chat/keys.html", status: int = 200, **more: Any
) -> HttpResponse:
    assert isinstance(request.user, User)
    running = running_targets()
    language = request.GET.get("language", "python")
    if language not in LANGUAGES:
        language = "python"
    address = request.build_absolute_uri("/v1")
    context = {
        "keys": request.user.api_keys.filter(revoked__isnull=True),
        "form": KeyForm(),
        "running": running,
        "address": address,
        "languages": LANGUAGES,
        "shown": language,
        "snippet": snippet(language, address=address, model=running[0].served_name if running else ""),
        **more,
    }
    return render(request, template, context, status=status)


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@never_cache
def make(request: HttpRequest) -> HttpResponse:
    """The new key is in this one answer and nowhere else."""
    assert isinstance(request.user, User)
    template = "chat/keys.html#own" if request.headers.get("HX-Request") else "chat/keys.html"
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _page(request, template, status=422, form=form)
    key, secret = create_api_key(owner=request.user, name=form.cleaned_data["name"])
    return _page(request, template, made=key, secret=secret)


@require_POST
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    assert isinstance(request.user, User)
    key = get_object_or_404(request.user.api_keys.filter(revoked__isnull=True), pk=key_id)
    revoke_api_key(actor=request.user, key=key)
    return redirect("keys")
