"""What several calls take and give."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest
from ninja import Schema
from pydantic import ConfigDict
from pydantic.config import JsonDict

from accounts.models import User

Json = dict[str, Any]
EXAMPLES: list[JsonDict] = [
    {"name": "tiny", "preset": "tiny-demo"},
    {
        "name": "qwen",
        "model": "Qwen/Qwen3-8B",
        "max_model_len": 16384,
        "gpu_memory_utilization": 0.9,
        "gpus": ["0"],
        "args": {"enable-prefix-caching": True, "seed": 7},
        "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
        "restart_policy": "on-failure",
    },
]


class WrongField(Schema):
    field: str
    message: str


class WrongFields(Schema):
    """Each field that is wrong, with a sentence that says what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"detail": [{"field": "port", "message": "Use a whole number from 1024 to 65535."}]}]
        }
    )
    detail: list[WrongField]


class Refusal(Schema):
    """Why it cannot be done now, in a sentence."""

    detail: str


class DeployBody(Schema):
    """What to deploy. Only shapes are said here; meanings are judged where the form's are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": list(EXAMPLES)})
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
