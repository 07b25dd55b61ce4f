"""Amounts as people read them."""

from __future__ import annotations

GIB = 2**30
MIB = 2**20


def amount(size: float) -> str:
    """GiB with one decimal, small ones in MiB."""
    if abs(size) >= GIB * 0.995:
        return f"{size / GIB:,.1f} GiB"
    return f"{size / MIB:,.1f} MiB" if 0 < abs(size) < 10 * MIB else f"{size / MIB:,.0f} MiB"


def count(number: int) -> str:
    return f"{number:,}"


def times(number: float) -> str:
    """How often something fits, rounded down."""
    return f"{int(number):,}"
