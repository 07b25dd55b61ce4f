from typing import Any

import pytest

from monitoring import panels
from monitoring.charts import Mark
from monitoring.models import STEPS, TICK, Sample, Subject

pytestmark = pytest.mark.django_db
NOW = 1_900_000_800
SPAN = panels.RANGES["15m"]


def put(subject: str, at: int, **values: Any) -> None:
    owner, _ = Subject.objects.get_or_create(name=subject)
    Sample.objects.create(subject=owner, step=TICK, at=at, values={"s": TICK, **values})


def gauge(value: float) -> list[float]:
    return [TICK, value * TICK, value, value]


def drawn(slug: str, *subjects: str, of: Any = panels.LAUNCH, **options: Any) -> Any:
    found = panels.charts(of, subjects, SPAN, now=NOW, **options)
    return next(chart for chart in found if chart.slug == slug)


def last(chart: Any) -> list[str]:
    return [line.now for line in chart.lines]


def test_tokens_are_a_rate_of_the_time_that_was_measured() -> None:
    put("launch:1", NOW - 10, running=gauge(1), generation_tokens=700)
    put("launch:1", NOW - 5, running=gauge(1), generation_tokens=300)
    assert last(drawn("generation_tokens", "launch:1")) == ["100"]


def test_a_running_engine_without_tokens_is_at_zero_and_one_that_was_not_read_is_a_gap() -> None:
    put("launch:1", NOW - 10, running=gauge(0))
    put("launch:2", NOW - 10, cpu=gauge(50))
    assert last(drawn("generation_tokens", "launch:1")) == ["0.0"]
    assert drawn("generation_tokens", "launch:2").empty
    assert last(drawn("cpu", "launch:2")) == ["50.0"]


def test_launches_that_follow_one_another_are_one_line() -> None:
    put("launch:1", NOW - 60, cpu=gauge(10))
    put("launch:2", NOW - 10, cpu=gauge(30))
    assert [row.values for row in drawn("cpu", "launch:1", "launch:2").table] == [["30.0"], ["10.0"]]


def test_percentiles_come_from_the_buckets_of_the_point() -> None:
    put("launch:1", NOW - 10, first_token={"0.04 0.06": 9, "sum": 0.45})
    put("launch:1", NOW - 5, first_token={"0.04 0.06": 1, "1 2.5": 10, "sum": 17.55})
    p50, p95 = last(drawn("first_token", "launch:1"))
    assert 40 <= float(p50) <= 60 and 1000 < float(p95.replace(",", "")) <= 2500


def test_long_times_are_said_in_seconds() -> None:
    put("launch:1", NOW - 10, whole={"10 20": 4, "sum": 60.0})
    chart = drawn("whole", "launch:1")
    assert (chart.unit, last(chart)[0]) == ("s", "15.0")


def test_a_panel_of_nothing_but_zeros_may_be_left_out() -> None:
    put("host", NOW - 10, cpu=gauge(10), swap=gauge(0))
    assert "swap" not in [one.slug for one in panels.charts(panels.HOST, ["host"], SPAN, now=NOW)]
    put("host", NOW - 5, swap=gauge(2**30))
    assert last(drawn("swap", "host", of=panels.HOST)) == ["0.5"]


def test_marks_and_upper_edges_are_handed_over() -> None:
    put("host", NOW - 10, memory=gauge(2**30))
    chart = drawn(
        "memory", "host", of=panels.HOST, marks=[Mark(NOW - 30, "Launch", "launch")], tops={"memory": 24.0}
    )
    assert chart.ticks[-1][1] == "24" and len(chart.marks) == 1


@pytest.mark.parametrize("slug", panels.RANGES)
def test_every_range_is_one_query_for_each_kind_of_row(slug: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(len(STEPS)):
        assert len(panels.charts(panels.LAUNCH, ["launch:1"], panels.RANGES[slug])) >= 11
    assert panels.RANGES[slug].seconds in (900, 3600, 86400, 7 * 86400, 30 * 86400)


def test_sparks_are_the_tokens_of_the_last_hour_of_those_that_have_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: float(NOW))
    owner = Subject.objects.create(name="launch:1")
    Subject.objects.create(name="launch:2")
    for number in range(3):
        values = {"s": 60, "running": [60, 60.0, 1, 1], "generation_tokens": 600}
        Sample.objects.create(subject=owner, step=60, at=NOW - 60 * (number + 1), values=values)
    sparks = panels.sparks(["launch:1", "launch:2"], NOW)
    assert set(sparks) == {"launch:1"} and sparks["launch:1"].path.count("L") == 2
