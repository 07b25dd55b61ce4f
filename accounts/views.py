from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from . import services, setup_token
from .forms import SetupForm


@method_decorator(login_not_required, name="dispatch")
class SignInView(LoginView):
    """Django's own, but for the first visit: while there is nobody, it leads to the set-up page."""

    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if setup_token.needed():
            return redirect("setup")
        return super().dispatch(request, *args, **kwargs)


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def setup(request: HttpRequest) -> HttpResponse:
    """Make the first administrator. Gone once there is one."""
    if not setup_token.needed():
        return redirect("dashboard")
    form = SetupForm(request.POST or None, initial={"token": request.GET.get("token", "")})
    if request.method == "POST" and form.is_valid():
        user = services.create_first_administrator(
            username=form.cleaned_data["username"], password=form.cleaned_data["password"]
        )
        setup_token.discard()
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect("dashboard")
    return render(request, "accounts/setup.html", {"form": form}, status=422 if form.is_bound else 200)
