from pathlib import Path

import pytest

from monitoring.engine_metrics import SPAN, EngineMeter, RateMeter

PAGE = (Path(__file__).parent / "metrics.txt").read_bytes()  # of a real engine, after four requests


def page(**figures: float) -> bytes:
    """A small page: counters by name without prefix and suffix, `first_token` in all buckets from 0.1 s on."""
    first = figures.pop("first_token", 0.0)
    lines = [f"vllm:{name}_total{{}} {value}" for name, value in figures.items()]
    lines += [
        f'vllm:time_to_first_token_seconds_bucket{{le="{edge}"}} {first}' for edge in ("0.1", "0.2", "+Inf")
    ]
    return "\n".join([*lines, f"vllm:time_to_first_token_seconds_sum{{}} {first * 0.04}", ""]).encode()


def test_a_rate_needs_two_readings() -> None:
    meter = RateMeter()
    assert meter.rate(100, at=10.0) is None
    assert meter.rate(250, at=12.0) == 75
    assert meter.rate(250, at=13.0) == 50


def test_a_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter()
    for second in range(30):
        rate = meter.rate(100.0 * second, at=float(second))
    assert rate == 100
    for second in range(30, 30 + int(SPAN) + 1):
        rate = meter.rate(2900.0, at=float(second))
    assert rate == 0


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


def test_a_real_page_after_another() -> None:
    meter = EngineMeter()
    first = meter.read(PAGE, at=0.0)
    assert (first.prompt_rate, first.generation_rate, first.first_token, first.latency) == (
        None,
        None,
        None,
        {},
    )
    assert (meter.gained.counts, meter.gained.histograms) == ({}, {})
    reading = meter.read(PAGE.replace(b"vllm:generation_tokens_total{", b"vllm:gone{"), at=1.0)
    assert (reading.running, reading.prompt_rate, reading.generation_rate) == (0, 0, None)
    assert (reading.prompt_tokens, reading.generation_tokens, reading.first_token) == (49, None, None)
    assert (reading.kv_cache_percent, reading.kv_cache_tokens, reading.preemptions) == (0, 1_048_576, 0)
    assert reading.finished["stop"] == 2


def test_percentiles_are_those_of_the_last_minute() -> None:
    meter = EngineMeter()
    meter.read(page(first_token=50), at=0.0)
    reading = meter.read(page(first_token=60), at=1.0)
    assert reading.latency["first_token"] == pytest.approx((0.04, 0.076, 0.0792))
    assert reading.first_token == pytest.approx(0.04)
    assert meter.read(page(first_token=60), at=10.0).latency != {}
    assert meter.read(page(first_token=60), at=90.0).latency == {}


def test_the_share_of_prompt_tokens_that_were_in_the_cache() -> None:
    meter = EngineMeter()
    assert (
        meter.read(page(prefix_cache_queries=100, prefix_cache_hits=100), at=0.0).prefix_hits_percent is None
    )
    assert meter.read(page(prefix_cache_queries=140, prefix_cache_hits=110), at=1.0).prefix_hits_percent == 25
    assert meter.read(page(prefix_cache_queries=10, prefix_cache_hits=0), at=2.0).prefix_hits_percent is None


def test_what_came_between_two_pages_is_told() -> None:
    meter = EngineMeter()
    meter.read(page(generation_tokens=100, first_token=1), at=0.0)
    meter.read(page(generation_tokens=130, first_token=3), at=1.0)
    assert meter.gained.counts == {"generation_tokens": 30}
    assert meter.gained.histograms["first_token"].count == 2
    assert meter.gained.histograms["first_token"].sum == pytest.approx(0.08)


def test_an_engine_that_counts_from_zero_again_gained_all_that_it_shows() -> None:
    meter = EngineMeter()
    meter.read(page(generation_tokens=100, first_token=5), at=0.0)
    meter.read(page(generation_tokens=7, first_token=1), at=1.0)
    assert meter.gained.counts == {"generation_tokens": 7}
    assert meter.gained.histograms["first_token"].count == 1
