import pytest

from monitoring.histogram import Histogram, Window

INF = float("inf")


def cumulative(*counts: float, total: float = 0.0) -> Histogram:
    return Histogram.of(dict(zip((0.1, 0.2, 0.4, INF), counts, strict=True)), total)


def median(histogram: Histogram) -> float | None:
    found = histogram.quantiles((0.5,))
    return found[0] if found else None


def test_without_observations_nothing_is_told() -> None:
    assert cumulative(0, 0, 0, 0).quantiles() is None
    assert Histogram().quantiles() is None


def test_without_a_sum_a_bucket_is_filled_evenly() -> None:
    assert median(cumulative(0, 0, 4, 4)) == pytest.approx(0.3)
    assert cumulative(100, 100, 100, 100).quantiles((0.5, 0.95, 0.99)) == pytest.approx((0.05, 0.095, 0.099))


def test_the_sum_tells_where_in_its_bucket_the_middle_is() -> None:
    """All between 0.2 and 0.4 s, and 0.22 s on average: the median is not the bucket's middle."""
    assert median(cumulative(0, 0, 10, 10, total=2.2)) == pytest.approx(0.22)
    found = cumulative(0, 0, 10, 10, total=2.2).quantiles()
    assert found is not None and 0.22 < found[1] < found[2] <= 0.24


def test_a_sum_that_cannot_be_is_kept_within_the_bucket() -> None:
    assert median(cumulative(0, 0, 10, 10, total=99)) == pytest.approx(0.4)
    assert median(cumulative(0, 0, 10, 10, total=0.01)) == pytest.approx(0.2)


def test_beyond_the_last_edge_is_that_edge() -> None:
    assert median(cumulative(0, 0, 0, 3, total=30)) == 0.4


def test_taking_away() -> None:
    first, second = cumulative(1, 2, 3, 4, total=1.5), cumulative(1, 1, 1, 1, total=0.05)
    assert (first - second) == cumulative(0, 1, 2, 3, total=1.45)
    assert first - Histogram() == first  # of other edges: all of it is new
    assert first.count == 4


def test_the_window_tells_of_what_is_new() -> None:
    window = Window()
    assert window.gained(cumulative(50, 50, 50, 50), at=0.0).count == 0  # those came before we looked
    assert window.gained(cumulative(50, 50, 54, 54), at=1.0).count == 4


def test_the_window_forgets_what_is_older() -> None:
    window = Window(60.0)
    window.gained(cumulative(0, 0, 0, 0), at=0.0)
    window.gained(cumulative(0, 0, 10, 10), at=5.0)
    assert window.gained(cumulative(2, 2, 12, 12), at=30.0).count == 12
    assert window.gained(cumulative(2, 2, 12, 12), at=75.0).count == 2
    assert window.gained(cumulative(2, 2, 12, 12), at=140.0).count == 0


def test_the_window_begins_again_with_the_engine() -> None:
    window = Window()
    window.gained(cumulative(9, 9, 9, 9), at=0.0)
    assert window.gained(cumulative(0, 2, 2, 2), at=1.0).count == 2
    assert window.gained(cumulative(0, 4, 4, 4), at=2.0).count == 4


def test_the_window_keeps_few_pages_of_the_past() -> None:
    window = Window(60.0)
    for second in range(600):
        window.gained(cumulative(0, 0, second, second), at=float(second))
    assert len(window._past) <= 14
