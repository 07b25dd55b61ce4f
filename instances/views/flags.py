"""The flags of the deploy form: found while one types, and added as rows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from instances import flag_rows
from instances.configuration import flags_of
from instances.flag_finder import Finder
from instances.forms import DeployForm

from .deploy import answers_of, typed_form


@require_GET
def found(request: HttpRequest) -> HttpResponse:
    """What the words in the search field find, the flags of one group, or the groups."""
    asked = request.GET
    flags = flags_of(asked.get("engine"))
    taken = asked.getlist("flag")[: flag_rows.MOST]
    finder = Finder(flags, asked.get("q", "")[:200], asked.get("group", ""), taken)
    return render(request, "instances/_flags.html#found", {"finder": finder})


@require_POST
def rows(request: HttpRequest) -> HttpResponse:
    """The rows once more: with one flag added (`flag-add`, or what was searched for) or taken away (`flag-remove`)."""
    form = typed_form(request)
    given, focus = _changed(request, form)
    form = typed_form(request, args=given)
    answers = answers_of(form)  # which judges the form
    asked = request.POST
    finder = Finder(form.flags, asked.get("q", "")[:200], asked.get("group", ""), given)
    facts = {**answers, "form": form, "rows": form.rows(focus), "finder": finder, "instance": form.instance}
    return render(request, "instances/_flags.html#changed", facts)


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """What is wrong with each row, once a value was changed."""
    form = typed_form(request)
    form.is_valid()
    return render(request, "instances/_flags.html#errors", {"rows": form.rows()})


def _changed(request: HttpRequest, form: DeployForm) -> tuple[dict[str, Any], str | None]:
    """All rows as they shall be, and the one that takes the focus (empty: none is left)."""
    given = dict(form["args"].value() or {})
    if line := request.POST.get("flag-add", "").strip()[:500]:
        return flag_rows.added(given, line, form.flags)
    if (gone := request.POST.get("flag-remove")) is not None:
        names = list(given)
        at = names.index(gone) if gone in given else 0
        given.pop(gone, None)
        left = list(given)
        return given, left[min(at, len(left) - 1)] if left else ""
    written, _equals, name = request.POST.get("flag-instead", "").rpartition("=")
    if written in given and name:
        return flag_rows.replaced(given, written, name, form.flags)
    if "find" in request.POST and (best := Finder(form.flags, request.POST.get("q", "")[:200]).best):
        return flag_rows.added(given, best, form.flags)
    return given, None
