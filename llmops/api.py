"""The JSON API: who may call it, and how its errors look."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import ValidationError
from ninja.security import HttpBearer, SessionAuth

from accounts.models import User
from accounts.services import owner_of_key
from instances.api.catalog import catalog
from instances.api.engines import engine_router
from instances.api.instances import models
from instances.api.jobs import jobs
from instances.api.revisions import revisions
from instances.api.system import system
from instances.api.tools import tools
from instances.configuration import ConfigurationError
from instances.services import Refused


class BearerKey(HttpBearer):
    """An API key; its owner becomes the request's user."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        owner = owner_of_key(token)
        if owner is not None:
            request.user = owner
        return owner


api = NinjaAPI(
    title="LLM Ops Center",
    version="1",
    description="Everything that the pages do, for programs. Send an API key as `Authorization: Bearer …`.",
    auth=[BearerKey(), SessionAuth()],
    docs_url="/docs",
    docs_decorator=login_required,
)
api.add_router("/system", system)
api.add_router("/catalog", catalog)
api.add_router("/jobs", jobs)
api.add_router("/engines", engine_router)
api.add_router("/models", tools)
api.add_router("/models", models)
api.add_router("/models", revisions)


def _fields(request: HttpRequest, errors: dict[str, str]) -> HttpResponse:
    detail = [{"field": field, "message": str(message)} for field, message in errors.items()]
    return api.create_response(request, {"detail": detail}, status=422)


@api.exception_handler(ConfigurationError)
def _configuration_error(request: HttpRequest, error: Any) -> HttpResponse:
    return _fields(request, error.errors)


@api.exception_handler(ValidationError)
def _validation_error(request: HttpRequest, error: Any) -> HttpResponse:
    """Ninja says where as ["body", "body", "port"]; people want to read `port`."""
    return _fields(request, {str(one["loc"][-1]): one["msg"] for one in error.errors})


@api.exception_handler(Refused)
def _refused(request: HttpRequest, error: Any) -> HttpResponse:
    return api.create_response(request, {"detail": str(error)}, status=409)
