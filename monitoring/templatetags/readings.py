"""Numbers that change while a page is open: what is marked here travels alone (static/js/figures.js)."""

from __future__ import annotations

from django import template
from django.utils.html import format_html

register = template.Library()


@register.simple_tag
def figure(name: str, value: object) -> str:
    """`<span data-figure="system-cpu">18</span>`."""
    return format_html('<span data-figure="{}">{}</span>', name, value)
