"""What the sidebar of every page shows: the instances, read only by a page that draws them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .cards import Card
from .models import Instance


def sidebar_cards() -> list[Card]:
    """Two queries for any number of instances."""
    return [Card(instance) for instance in Instance.objects.visible().with_launches()]


def sidebar(request: HttpRequest) -> dict[str, Any]:
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    return {"sidebar_instances": SimpleLazyObject(sidebar_cards)}
