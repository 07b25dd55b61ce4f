from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from instances import history as launches
from instances import pages

ON_A_PAGE = 25


@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """Every launch: who asked, how long it took, how it ended."""
    wanted = launches.Wanted.from_query(request.GET)
    page = Paginator(wanted.launches(), ON_A_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    facts = {"page": page, "rows": launches.rows(page), "wanted": wanted, "query": query.urlencode()}
    if request.headers.get("HX-Target") == "launches":
        return render(request, "instances/history.html#launches", facts)
    facts |= {"figures": launches.figures(), "choices": launches.choices(), "live": pages.Page().query}
    return render(request, "instances/history.html", facts)
