from pathlib import Path

import pytest

from monitoring.engine_metrics import Buckets, EngineMeter, MedianMeter, RateMeter, parse

PAGE = (Path(__file__).parent / "metrics.txt").read_text()  # of a real engine, after four requests

INF = float("inf")


def test_it_reads_a_real_page() -> None:
    metrics = parse(PAGE)
    assert (metrics.running, metrics.waiting, metrics.kv_cache_percent) == (0, 0, 0.0)
    assert (metrics.prompt_tokens, metrics.generation_tokens) == (49, 75)
    assert metrics.first_token[0.01] == 1
    assert metrics.first_token[INF] == 4


def test_the_reasons_of_waiting_are_not_counted_again() -> None:
    page = (
        'vllm:num_requests_waiting{engine="0"} 3.0\n'
        'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 3.0\n'
    )
    assert parse(page).waiting == 3


def test_an_older_name_of_the_cache_is_known() -> None:
    assert parse('vllm:gpu_cache_usage_perc{model_name="m"} 0.25\n').kv_cache_percent == 25


def test_several_engines_are_summed_and_the_fullest_cache_is_shown() -> None:
    page = (
        'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_running{engine="1"} 3.0\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.5\nvllm:kv_cache_usage_perc{engine="1"} 0.25\n'
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5"} 1.0\n'
        'vllm:time_to_first_token_seconds_bucket{engine="1",le="0.5"} 2.0\n'
    )
    metrics = parse(page)
    assert (metrics.running, metrics.kv_cache_percent) == (5, 50)
    assert metrics.first_token == {0.5: 3}


def test_labels_may_hold_anything_and_a_time_may_follow() -> None:
    page = r'vllm:num_requests_running{engine="0",model_name="a } {le=\"1\"} 9"} 4.0 1795578918533' + "\n"
    assert parse(page).running == 4


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html>busy</html>",
        "vllm:num_requests_running",
        'vllm:num_requests_running{engine="0"',
        'vllm:num_requests_running{engine="0"} many',
        'vllm:num_requests_running{engine="0"} NaN',
        'vllm:time_to_first_token_seconds_bucket{le="soon"} 1.0',
    ],
)
def test_what_is_not_there_is_none(page: str) -> None:
    metrics = parse(page)
    assert (metrics.running, metrics.waiting, metrics.kv_cache_percent) == (None, None, None)
    assert (metrics.prompt_tokens, metrics.generation_tokens, metrics.first_token) == (None, None, {})


def test_a_rate_needs_two_readings() -> None:
    meter = RateMeter()
    assert meter.rate(100, at=10.0) is None
    assert meter.rate(250, at=12.0) == 75
    assert meter.rate(250, at=13.0) == 0


def test_a_counter_that_began_again_counts_from_zero() -> None:
    meter = RateMeter()
    meter.rate(1000, at=10.0)
    assert meter.rate(30, at=12.0) == 15


def test_a_counter_that_was_missing_starts_anew() -> None:
    meter = RateMeter()
    meter.rate(100, at=10.0)
    assert meter.rate(None, at=11.0) is None
    assert meter.rate(400, at=12.0) is None
    assert meter.rate(410, at=13.0) == 10


def test_two_readings_at_one_moment_have_no_rate() -> None:
    meter = RateMeter()
    meter.rate(1, at=10.0)
    assert meter.rate(2, at=10.0) is None


def buckets(*counts: float) -> Buckets:
    return dict(zip((0.1, 0.2, 0.4, INF), counts, strict=True))


def test_the_median_is_that_of_new_requests() -> None:
    meter = MedianMeter()
    assert meter.median(buckets(50, 50, 50, 50), at=0.0) is None  # those came before we looked
    # Four more, all between 0.2 and 0.4 s.
    assert meter.median(buckets(50, 50, 54, 54), at=1.0) == pytest.approx(0.3)


def test_the_median_forgets_what_is_older_than_its_window() -> None:
    meter = MedianMeter(window=60.0)
    meter.median(buckets(0, 0, 0, 0), at=0.0)
    meter.median(buckets(0, 0, 10, 10), at=1.0)
    assert meter.median(buckets(2, 2, 12, 12), at=30.0) == pytest.approx(0.28)
    assert meter.median(buckets(2, 2, 12, 12), at=75.0) == pytest.approx(0.05)
    assert meter.median(buckets(2, 2, 12, 12), at=140.0) is None


def test_a_median_beyond_the_last_edge_is_that_edge() -> None:
    meter = MedianMeter()
    meter.median(buckets(0, 0, 0, 0), at=0.0)
    assert meter.median(buckets(0, 0, 0, 3), at=1.0) == 0.4


def test_the_median_starts_anew_when_the_engine_counts_from_zero() -> None:
    meter = MedianMeter()
    meter.median(buckets(9, 9, 9, 9), at=0.0)
    assert meter.median(buckets(0, 2, 2, 2), at=1.0) is None
    assert meter.median(buckets(0, 4, 4, 4), at=2.0) == pytest.approx(0.15)


def test_an_engines_meter_puts_them_together() -> None:
    meter = EngineMeter()
    meter.read(PAGE, at=0.0)
    reading = meter.read(PAGE.replace("vllm:generation_tokens_total{", "vllm:gone{"), at=1.0)
    assert (reading.running, reading.prompt_rate, reading.generation_rate) == (0, 0, None)
    assert (reading.prompt_tokens, reading.generation_tokens, reading.first_token) == (49, None, None)
