"""Models for templates: what people call them, and sizes as hubs write them, in decimal units."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext as _

from instances import shelf as models
from instances.catalog import space
from instances.catalog.scan import Here

register = template.Library()

UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


@register.filter
def size(count: float | None) -> str:
    """Bytes: `16.4 GB`, `724 kB`; nothing where it is not known."""
    return "" if count is None else space.words(count)


@register.filter
def compact(count: float | None) -> str:
    """Parameters, downloads: `8.2B`, `135M`."""
    if count is None:
        return ""
    for unit, name in UNITS:
        if count >= unit * 0.9995:  # 999,950 is 1.0M, not 1000k
            return f"{count / unit:.1f}{name}" if count < unit * 99.95 else f"{count / unit:,.0f}{name}"
    return f"{count:.0f}"


@register.filter
def title(found: Here) -> str:
    return models.title_of(found.model)


@register.filter
def place(found: Here) -> str:
    """Where it came from, or the folder that somebody put it into."""
    places = {"cache": _("Hugging Face cache"), "modelscope": "ModelScope", "package": "PyPI"}
    return places.get(found.where) or str(found.folder.parent)
