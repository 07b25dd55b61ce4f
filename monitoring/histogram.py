"""Cumulative histograms as Prometheus shows them, and what can be told from them. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Histogram:
    """`buckets`: upper edge -> observations at or below it, the last edge endless. `sum` of all that was observed."""

    buckets: Mapping[float, float] = field(default_factory=dict)
    sum: float = 0.0

    @property
    def count(self) -> float:
        return max(self.buckets.values(), default=0.0)

    def __sub__(self, before: Histogram) -> Histogram:
        """What came since `before`."""
        known = before.buckets
        return Histogram(
            {edge: count - known.get(edge, 0.0) for edge, count in self.buckets.items()},
            self.sum - before.sum,
        )

    def __add__(self, other: Histogram) -> Histogram:
        edges = self.buckets.keys() | other.buckets.keys()
        return Histogram(
            {edge: self.buckets.get(edge, 0.0) + other.buckets.get(edge, 0.0) for edge in edges},
            self.sum + other.sum,
        )

    def began_again(self, before: Histogram) -> bool:
        """Whether it counts less than it did: the engine is another one than before."""
        return any(self.buckets.get(edge, 0.0) < count for edge, count in before.buckets.items())

    def quantiles(self, shares: tuple[float, ...] = QUANTILES) -> tuple[float, ...] | None:
        """The values below which these shares lie; None when nothing was observed.

        Within a bucket the observations are taken as spread evenly around where the sum says that their middle
        is, not around the bucket's own: with all answers in one bucket the median is then their true mean.
        Beyond the last finite edge, that edge.
        """
        bins = self._bins()
        whole = sum(count for _, _, count in bins)
        if not whole:
            return None
        middle = self._middle(bins)
        return tuple(_at(bins, share * whole, middle) for share in shares)

    def _bins(self) -> list[tuple[float, float, float]]:
        """Lower edge, upper edge and count of each bucket that holds something."""
        bins, low, below = [], 0.0, 0.0
        for edge in sorted(self.buckets):
            count = self.buckets[edge] - below
            if count > 0:
                bins.append((low, edge, count))
                below = self.buckets[edge]
            if math.isfinite(edge):
                low = edge
        return bins

    def _middle(self, bins: list[tuple[float, float, float]]) -> float:
        """Where in their buckets the observations lie on average, 0 to 1; a half where nothing tells."""
        finite = [(low, high, count) for low, high, count in bins if math.isfinite(high)]
        room = sum(count * (high - low) for low, high, count in finite)
        if not self.sum or not room or len(finite) != len(bins):
            return 0.5
        return min(max((self.sum - sum(count * low for low, _, count in finite)) / room, 0.0), 1.0)


def _at(bins: list[tuple[float, float, float]], rank: float, middle: float) -> float:
    below = 0.0
    for low, high, count in bins:
        if below + count >= rank:
            if not math.isfinite(high):
                return low
            spread = 2 * min(middle, 1 - middle)
            share = middle + ((rank - below) / count - 0.5) * spread
            return low + (high - low) * share
        below += count
    return bins[-1][0]


class Window:
    """What a histogram gained within the last `seconds`.

    It keeps a page of the past every `STEP` seconds only, and none while nothing comes.
    """

    STEP = 5.0

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._past: deque[tuple[float, Histogram]] = deque()

    def gained(self, now: Histogram, at: float) -> Histogram:
        """`at` is monotonic seconds. The first page is what the next ones are compared with."""
        if self._past and now.began_again(self._past[-1][1]):
            self._past.clear()
            self._past.append((at, Histogram()))  # all that it shows has come since
        if not self._past or at - self._past[-1][0] >= self.STEP:
            self._past.append((at, now))
        # The newest one that is a whole window old is what the rest is compared with.
        while len(self._past) > 1 and self._past[1][0] <= at - self._seconds:
            self._past.popleft()
        return now - self._past[0][1]
