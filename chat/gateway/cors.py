"""Which foreign pages may call the gateway from a browser: those of `CORS_ALLOWED_ORIGINS`, no others."""

from __future__ import annotations

from django.conf import settings

from .errors import Headers

PREFLIGHT_KEPT = b"600"  # seconds
METHODS = b"GET, POST, OPTIONS"


def cors_headers(headers: dict[bytes, bytes]) -> Headers:
    """What every answer carries, so that the page may read it."""
    if not settings.CORS_ALLOWED_ORIGINS:
        return []
    vary: Headers = [(b"vary", b"origin")]
    origin = headers.get(b"origin", b"")
    if origin.decode("latin-1") not in settings.CORS_ALLOWED_ORIGINS:
        return vary
    return [*vary, (b"access-control-allow-origin", origin)]


def preflight_headers(headers: dict[bytes, bytes]) -> Headers:
    """The answer to OPTIONS. A page that is let in may send what it likes: the key is what counts."""
    allowed = cors_headers(headers)
    if not any(name == b"access-control-allow-origin" for name, _ in allowed):
        return allowed
    wanted = headers.get(b"access-control-request-headers", b"")
    return [
        *allowed,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", PREFLIGHT_KEPT),
        *([(b"access-control-allow-headers", wanted)] if wanted else []),
    ]
