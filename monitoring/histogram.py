"""Cumulative histograms as Prometheus shows them, and what can be told from them. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from operator import lt, sub

QUANTILES = (0.5, 0.95, 0.99)
Bin = tuple[float, float, float]  # lower edge, upper edge, how many lie between


@dataclass(frozen=True)
class Histogram:
    """`counts[n]` observations were at or below `edges[n]`, the last edge being endless; `sum` of all observed."""

    edges: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    sum: float = 0.0

    @classmethod
    def of(cls, buckets: Mapping[float, float], total: float = 0.0) -> Histogram:
        edges = tuple(sorted(buckets))
        return cls(edges, tuple(buckets[edge] for edge in edges), total)

    @property
    def buckets(self) -> dict[float, float]:
        return dict(zip(self.edges, self.counts, strict=True))

    @property
    def count(self) -> float:
        return self.counts[-1] if self.counts else 0.0

    def __sub__(self, before: Histogram) -> Histogram:
        """What came since `before`; of other edges than before nothing is known, so all of it."""
        if self.edges != before.edges:
            return self
        return Histogram(self.edges, tuple(map(sub, self.counts, before.counts)), self.sum - before.sum)

    def began_again(self, before: Histogram) -> bool:
        """Whether it counts less than it did: the engine is another one than before."""
        return self.edges == before.edges and any(map(lt, self.counts, before.counts))

    def bins(self) -> list[Bin]:
        """Only those that hold something."""
        bins, low, below = [], 0.0, 0.0
        for edge, count in zip(self.edges, self.counts, strict=True):
            if count > below:
                bins.append((low, edge, count - below))
                below = count
            if edge != math.inf:
                low = edge
        return bins

    def quantiles(self, shares: tuple[float, ...] = QUANTILES) -> tuple[float, ...] | None:
        """As `quantiles`; None when nothing was observed."""
        return quantiles(self.bins(), self.sum, shares)


def quantiles(
    bins: list[Bin], total: float, shares: tuple[float, ...] = QUANTILES
) -> tuple[float, ...] | None:
    """The values below which these shares lie; None when nothing was observed. `total` is the sum of all values.

    Within a bin the observations are taken as spread evenly around where the sum says that their middle is, not
    around the bin's own: with all answers in one bin the median is then their true mean. Beyond the last finite edge,
    that edge.
    """
    whole = sum(count for _, _, count in bins)
    if not whole:
        return None
    middle = _middle(bins, total)
    return tuple(_at(bins, share * whole, middle) for share in shares)


def _middle(bins: list[Bin], total: float) -> float:
    """Where in their bins the observations lie on average, 0 to 1; a half where nothing tells."""
    if not total or not all(math.isfinite(high) for _, high, _ in bins):
        return 0.5
    room = sum(count * (high - low) for low, high, count in bins)
    return min(max((total - sum(count * low for low, _, count in bins)) / room, 0.0), 1.0)


def _at(bins: list[Bin], rank: float, middle: float) -> float:
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
            self._past.append((at, now - now))  # all that it shows has come since
        if not self._past or at - self._past[-1][0] >= self.STEP:
            self._past.append((at, now))
        # The newest one that is a whole window old is what the rest is compared with.
        while len(self._past) > 1 and self._past[1][0] <= at - self._seconds:
            self._past.popleft()
        return now - self._past[0][1]
