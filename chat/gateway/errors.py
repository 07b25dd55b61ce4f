"""Refusals in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import json

Headers = list[tuple[bytes, bytes]]


class Refusal(Exception):
    """Ends a request; carries the status and a sentence for the person behind the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Headers = headers or []
        self.body = error_body(message, kind=kind, param=param, code=code)


def error_body(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


def unavailable(message: str, *, retry_after: int) -> Refusal:
    """503; the client may try again after so many seconds."""
    headers = [(b"retry-after", str(retry_after).encode())]
    return Refusal(503, message, kind="service_unavailable", code="model_not_running", headers=headers)
