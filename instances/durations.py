"""Spans of time in words, in the largest two units: `28 s`, `1 min 08 s`, `2 h 14 min`, `3 d 4 h`.

The page's clock (static/js/ago.js) writes the same words, so that nothing jumps when it takes over.
"""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _

MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


def seconds_of(span: dt.timedelta | float) -> float:
    """Never negative: a clock that was set back shows 0."""
    return max(span.total_seconds() if isinstance(span, dt.timedelta) else float(span), 0.0)


def _units(span: dt.timedelta | float) -> list[str]:
    total = int(seconds_of(span))
    days, hours, minutes, seconds = total // DAY, total // HOUR % 24, total // MINUTE % 60, total % MINUTE
    if days:
        return [_("%(n)s d") % {"n": f"{days:,}"}, _("%(n)s h") % {"n": hours}]
    if hours:
        return [_("%(n)s h") % {"n": hours}, _("%(n)s min") % {"n": f"{minutes:02}"}]
    if minutes:
        return [_("%(n)s min") % {"n": minutes}, _("%(n)s s") % {"n": f"{seconds:02}"}]
    return [_("%(n)s s") % {"n": seconds}]


def duration(span: dt.timedelta | float) -> str:
    return " ".join(_units(span))


def precise(span: dt.timedelta | float) -> str:
    """As `duration`, with one decimal below 100 seconds: `48.2 s`."""
    seconds = seconds_of(span)
    return _("%(n)s s") % {"n": f"{seconds:.1f}"} if round(seconds, 1) < 100 else duration(span)


def ago(span: dt.timedelta | float) -> str:
    """The largest unit alone: `12 min ago`."""
    return _("%s ago") % _units(span)[0]
