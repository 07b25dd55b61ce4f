"""What every page is given."""

import socket
from typing import Any

from django.conf import settings
from django.http import HttpRequest

THEMES = ("dark", "light", "system")


def page(request: HttpRequest) -> dict[str, Any]:
    """Theme of the person's browser, name of this machine, version, and the address that programs use."""
    theme = request.COOKIES.get("theme", "dark")
    return {
        "theme": theme if theme in THEMES else "dark",
        "host": socket.gethostname(),
        "version": settings.VERSION,
    }
