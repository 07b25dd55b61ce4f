"""Moments and spans for templates; the page's clock keeps the `<time>` elements true."""

from __future__ import annotations

import datetime as dt

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

from instances import durations

register = template.Library()


@register.filter
def duration(span: dt.timedelta | float | None) -> str:
    return "" if span is None else durations.duration(span)


@register.filter
def precise(span: dt.timedelta | float | None) -> str:
    return "" if span is None else durations.precise(span)


@register.simple_tag
def ago(at: dt.datetime | None) -> str:
    """`12 min ago`."""
    if at is None:
        return ""
    words = durations.ago(timezone.now() - at)
    return format_html('<time datetime="{}" data-ago>{}</time>', at.isoformat(), words)


@register.simple_tag
def since(at: dt.datetime | None) -> str:
    """`2 h 14 min`: from then until now."""
    if at is None:
        return ""
    words = durations.duration(timezone.now() - at)
    return format_html('<time datetime="{}" data-since>{}</time>', at.isoformat(), words)


@register.simple_tag
def moment(at: dt.datetime | None) -> str:
    """The day and the minute, as the reader's own clock has it: `Today 13:18`."""
    if at is None:
        return ""
    words = date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")
    return format_html('<time datetime="{}" data-local="day">{}</time>', at.isoformat(), words)


@register.simple_tag
def until(at: dt.datetime | None) -> str:
    """`20 s`, `1 min 08 s`: what is left of the time to a moment ahead."""
    if at is None:
        return ""
    words = durations.duration(at - timezone.now())
    return format_html('<time datetime="{}" data-until>{}</time>', at.isoformat(), words)
