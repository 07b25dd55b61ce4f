"""The card of a log: which lines a person asked for, and all that the card says about them."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from .logs import store
from .logs.line import Line
from .logs.search import LEVELS
from .models import Launch
from .query import number_in

LINES = 200  # shown at once
MOST = 1000  # found at once
KEPT = 64  # logs whose first error is remembered
LONGEST_SEARCH = 200
LOOKS = {"warning": "warn", "error": "err"}  # classes of the style sheet
PARTS = {
    "log-view": "log-answer",
    "log-earlier": "log-earlier",
    "log-later": "log-later",
}  # by what htmx replaces

Facts = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """What is to be seen of a log; it travels in the address. With nothing asked it is the end, live."""

    search: str = ""
    level: str = ""
    at: int | None = None  # a line by its offset, and those about it
    before: int | None = None  # the lines before this offset
    after: int | None = None  # the lines from this offset on

    @classmethod
    def from_query(cls, query: QueryDict) -> Ask:
        """Whatever is not understood is as if it were absent."""
        level, at = query.get("level", ""), _offset_in(query.get("at"))
        return cls(
            search=query.get("q", "")[:LONGEST_SEARCH],
            level=level if level in LEVELS and at is None else "",
            at=at,
            before=_offset_in(query.get("before")),
            after=_offset_in(query.get("after")),
        )

    @property
    def live(self) -> bool:
        return self == Ask()

    @property
    def filtered(self) -> bool:
        return bool(self.search or self.level)

    def query(self, **changed: object) -> str:
        """For the same search, but for what is changed; without a place in the log unless it is given."""
        asked = {"q": self.search, "level": self.level, **changed}
        return "?" + urlencode({key: value for key, value in asked.items() if value not in ("", None)})


@dataclass(frozen=True)
class Row:
    """A line as it is drawn."""

    line: Line
    html: str  # escaped, with the hits marked
    here: bool  # the one that was asked for

    @property
    def look(self) -> str:
        return " ".join(filter(None, (LOOKS.get(self.line.level), "here" if self.here else "")))

    @property
    def word(self) -> str:
        return "WARN" if self.line.level == "warning" else self.line.level.upper()


def part_of(request: HttpRequest) -> str:
    """The partial that htmx asks for, or nothing for the whole page."""
    return PARTS.get(request.headers.get("HX-Target", ""), "")


def facts(launch: Launch | None, ask: Ask, *, own: bool = False) -> Facts:
    """What the card shows; `own`: on the launch's own page, not among the tabs of its instance."""
    if launch is None:
        return {"log_launch": None}
    line_url = reverse("instance-launch", args=[launch.instance_id, launch.pk])
    page, more = _read(launch.directory, ask)
    found = sum(bool(line.time) for line in page.lines)
    first = page.lines[0].offset if page.lines else 0
    error = first_error(launch.directory)
    return {
        "log_launch": launch,
        "ask": ask,
        "rows": [Row(line, marked(line.text, ask.search), line.offset == ask.at) for line in page.lines],
        "next_offset": page.next_offset,
        "follows": ask.live and not launch.ended,
        "to_end": ask.at is None and ask.after is None,
        "found": found,
        "found_words": f"{found:,}{'+' if more else ''}",
        "log_own": own,
        "log_url": line_url if own else reverse("instance-tab", args=[launch.instance_id, "logs"]),
        "line_url": line_url,
        "error_url": "" if error is None else f"{line_url}?at={error}#at-{error}",
        "levels": [(level, ask.query(level=level)) for level in LEVELS],
        "earlier": ask.query(before=first) if first and (more or not ask.filtered) else "",
        "earlier_offset": first,
        "later": ask.query(after=page.next_offset) if _goes_on(launch.directory, ask, page) else "",
    }


def _read(directory: Path, ask: Ask) -> tuple[store.Page, bool]:
    """The lines, and whether there may be more in the direction in which they were looked for."""
    if ask.at is not None:
        return store.around(directory, ask.at, LINES), False
    limit = MOST if ask.filtered else LINES
    if ask.before is not None:
        page = store.before(directory, ask.before, limit, ask.search, ask.level)
    else:
        newest = ask.after is None
        page = store.read(directory, ask.after or 0, limit, ask.search, tail=newest, level=ask.level)
    return page, len(page.lines) == limit


def _goes_on(directory: Path, ask: Ask, page: store.Page) -> bool:
    """Whether whole lines stand behind these, which are not the newest."""
    newest = ask.at is None and ask.before is None and ask.after is None
    finished = bool(page.lines) and page.lines[-1].offset < page.next_offset
    return not newest and finished and page.next_offset < store.size(directory)


def marked(text: str, search: str) -> SafeString:
    """The text, escaped, with each place where the search stands in it in a `<mark>`."""
    if not search:
        return conditional_escape(text)
    pieces = re.split(f"({re.escape(search)})", text, flags=re.IGNORECASE)
    return mark_safe(  # each piece has been escaped by itself
        "".join(format_html("<mark>{}</mark>" if n % 2 else "{}", piece) for n, piece in enumerate(pieces))
    )


_first_errors: OrderedDict[Path, tuple[int, int | None]] = OrderedDict()  # looked at up to, and found where


def first_error(directory: Path) -> int | None:
    """The offset of the first error. A log only grows, so each byte of it is looked at once."""
    seen, found = _first_errors.get(directory, (0, None))
    if found is None:
        end = store.read(directory, limit=1, tail=True).next_offset
        if end < seen:
            seen = 0
        if end > seen:
            found = store.first_error(directory, seen)
        _first_errors[directory] = end, found
        _first_errors.move_to_end(directory)
        while len(_first_errors) > KEPT:
            _first_errors.popitem(last=False)
    return found


def _offset_in(text: str | None) -> int | None:
    return number_in(text) if text and text.isascii() and text.isdigit() else None
