"""For the programs that watch this console: is it alive, does it supervise, what does it measure."""

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from accounts.bearer import secret_of
from accounts.services import owner_of_key
from instances.prometheus import InstanceCollector
from instances.pulse import answers
from instances.supervisor.loop import reconciled_lately
from monitoring import latest, prometheus

from .latency import latency

_registry = prometheus.machine_registry(latest.host, latest.gpus)
_registry.register(InstanceCollector())
_registry.register(latency)


@login_not_required
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """200 once the supervisor reconciles, and while the database answers."""
    trouble = "" if reconciled_lately() else "the supervisor does not reconcile (yet)"
    try:
        answers()
    except DatabaseError:
        trouble = "the database does not answer"
    return HttpResponse(f"{trouble or 'ready'}\n", status=503 if trouble else 200, content_type="text/plain")


@login_not_required  # judged here: a scraper has a key, not a session
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Our own Prometheus page."""
    secret = secret_of(request.headers.get("Authorization", ""))
    if not request.user.is_authenticated and not owner_of_key(secret):
        return HttpResponse("A bearer API key is needed.\n", status=401, content_type="text/plain")
    body, content_type = prometheus.page(_registry)
    return HttpResponse(body, content_type=content_type)
