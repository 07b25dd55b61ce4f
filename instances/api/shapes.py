"""What several calls take and give."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest
from ninja import Schema
from pydantic import ConfigDict

from accounts.models import User

Json = dict[str, Any]


class DeployBody(Schema):
    """What to deploy. Only shapes are said here; meanings are judged where the form's are."""

    model_config = ConfigDict(extra="forbid")
    name: Any = None
    preset: Any = None
    model: Any = None
    served_name: Any = None
    engine: Any = None
    port: Any = None
    dtype: Any = None
    max_model_len: Any = None
    gpu_memory_utilization: Any = None
    tensor_parallel_size: Any = None
    gpus: Any = None
    quantization: Any = None
    trust_remote_code: Any = None
    args: Any = None
    env: Any = None
    restart_policy: Any = None
    start: Any = None


def user_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def utc(at: dt.datetime | None) -> str | None:
    return at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if at else None
