"""A command that somebody has already: read as it is pasted, and put into the deploy form."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.models import User
from instances import pages
from instances.paste_card import EXAMPLES, Reading
from instances.vllm import pasted

from .deploy import filled

PARTS = {"paste-read": "#answers", "paste-form": "#form"}  # of the page, by what htmx replaces


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("text")
def paste(request: HttpRequest) -> HttpResponse:
    """What the text is understood as. Nothing is saved, and no secret of it is sent back."""
    text = EXAMPLES.get(request.POST.get("example", ""), request.POST.get("text", ""))
    return _page(request, text)


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("text")
def fill(request: HttpRequest) -> HttpResponse:
    """The deploy form with what was understood. Its tokens are kept, if that was wished and is allowed."""
    if request.method == "GET":
        return redirect("deploy-paste")
    text = request.POST.get("text", "")
    reading = Reading(text, _user(request))
    if not reading.understood:
        return _page(request, text, status=422)
    said = [_("Filled from what you pasted."), *reading.keep_tokens(request.POST.getlist("keep"))]
    if left := len(reading.left_out):
        said.append(ngettext("One thing was left out.", "%(n)s things were left out.", left) % {"n": left})
    return filled(request, reading.body, " ".join(said))


def _page(request: HttpRequest, text: str, status: int = 200) -> HttpResponse:
    facts: dict[str, Any] = {
        "reading": Reading(text, _user(request)),
        "text": pasted.masked(text),
        "examples": _examples(),
        "live": pages.Page().query,
    }
    part = PARTS.get(request.headers.get("HX-Target", ""), "")
    return render(request, f"instances/paste.html{part}", facts, status=status)


def _examples() -> list[tuple[str, str]]:
    titles = {"line": "vllm serve", "docker": "docker run", "compose": "compose", "unit": "systemd"}
    return [(name, titles[name]) for name in EXAMPLES]


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
