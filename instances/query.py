"""Numbers in the addresses of pages and sockets, which people and programs write."""

from __future__ import annotations


def number_in(text: str | None) -> int:
    """A whole number that a row can have, or 0 for whatever else stands there."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
