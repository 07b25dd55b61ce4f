"""What everybody is told while the database does not answer: one calm sentence, and when to ask again."""

from __future__ import annotations

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views import defaults

AWAY = (OperationalError, InterfaceError)  # the database is out of reach, restarts, or is locked for too long
RETRY_AFTER = 3  # seconds


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: whatever a view or a middleware let through comes here."""
    if isinstance(sys.exc_info()[1], AWAY):
        return _unavailable(request)
    return defaults.server_error(request)


def _unavailable(request: HttpRequest) -> HttpResponse:
    sentence = _("The database does not answer. Engines go on; try again in a few seconds.")
    response: HttpResponse
    if request.path.startswith("/api/"):
        response = JsonResponse({"detail": sentence})
    elif request.headers.get("HX-Request"):
        response = HttpResponse(sentence, content_type="text/plain; charset=utf-8")
    else:
        facts = {"by_itself": RETRY_AFTER if request.method == "GET" else None}
        response = HttpResponse(render_to_string("503.html", facts))
    response.status_code = 503
    response["Retry-After"] = str(RETRY_AFTER)
    return response


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


class OneLine(logging.Filter):
    """Makes one line of a request that the database did not answer: a traceback would tell nothing more.

    A 503 that we chose to give is no fault of ours, and whoever waits for /readyz asks often: no line at all.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, AWAY):
            record.msg, record.args = f"{record.getMessage()}: {first_line(error)}", ()
            record.exc_info = None
            return True
        return getattr(record, "status_code", 0) != 503
