from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from instances import revisions, services
from instances.configuration import ConfigurationError, body_of_revision, clean_configuration
from instances.query import number_in

from .instance import visible_instance


@require_GET
def compare(request: HttpRequest, pk: int) -> HttpResponse:
    """Two revisions side by side; alone for htmx, else on the tab."""
    instance = visible_instance(pk)
    left, right = number_in(request.GET.get("left")), number_in(request.GET.get("right"))
    if not request.headers.get("HX-Request"):
        return redirect(f"/instances/{pk}/configuration/?left={left}&right={right}")
    lines = revisions.lines_of(instance)
    facts = {"instance": instance, "comparison": revisions.compared(lines, left, right), "lines": lines}
    return render(request, "instances/_revisions.html#comparison", facts)


@require_POST
def again(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Deploy an earlier revision once more: a new one that says the same, judged by today's rules."""
    assert isinstance(request.user, User)
    instance = visible_instance(pk)
    revision = get_object_or_404(instance.revisions.all(), number=number)
    try:
        wanted = clean_configuration(body_of_revision(revision), user=request.user, instance=instance)
        services.deploy_again(
            actor=request.user,
            instance=instance,
            config=wanted.config,
            served_name=wanted.served_name,
            restart_policy=wanted.restart_policy,
        )
    except (services.Refused, ConfigurationError) as refused:
        messages.error(
            request, _("Revision %(number)s cannot run: %(why)s") % {"number": number, "why": refused}
        )
        return redirect("instance-tab", pk, "configuration")
    messages.success(request, _("Revision %(number)s is deployed again.") % {"number": number})
    return redirect("instance", pk)
