"""Every page needs a login; while there is nobody, the way leads to the set-up page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url

from . import setup_token


class SignedInMiddleware(LoginRequiredMiddleware):
    """Guarantees that no view is reached without a login, but for those marked `login_not_required`.

    The JSON API is let through: it authenticates each call itself, and answers 401 instead of a redirect.
    """

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., HttpResponseBase],
        view_args: tuple[Any, ...],
        view_kwargs: dict[str, Any],
    ) -> HttpResponseBase | None:
        if request.path.startswith("/api/"):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)

    def handle_no_permission(  # type: ignore[override]  # a fragment is answered with a header, no redirect
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseBase:
        if setup_token.needed():
            return redirect("setup")
        if request.headers.get("HX-Request"):  # the whole page must go to the login, not a fragment of it
            return HttpResponse(
                status=204, headers={"HX-Redirect": resolve_url(self.get_login_url(view_func))}
            )
        return super().handle_no_permission(request, view_func)
