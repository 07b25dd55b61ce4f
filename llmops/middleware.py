"""How a request passes through Django here."""

from typing import Any

from django.http import HttpRequest
from django.middleware.gzip import GZipMiddleware


class CompressPages(GZipMiddleware):
    """Whole answers only: a stream would wait until enough of it has come together.

    What is secret and stands beside something that a stranger may choose is safe: Django masks its CSRF token anew in
    each page, and its middleware makes the length of each answer differ.
    """

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        return response if response.streaming else super().process_response(request, response)
