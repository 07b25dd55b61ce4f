from pathlib import Path

import pytest

from monitoring.engine_page import parse

PAGE = (Path(__file__).parent / "metrics.txt").read_bytes()  # of a real engine, after four requests

INF = float("inf")


def test_it_reads_a_real_page() -> None:
    page = parse(PAGE)
    assert page.gauges == {"running": 0, "waiting": 0}
    assert (page.kv_cache, page.kv_cache_tokens) == (0.0, 1_048_576)
    assert page.counters == {
        "prompt_tokens": 49,
        "generation_tokens": 75,
        "preemptions": 0,
        "prefix_queries": 49,
        "prefix_hits": 0,
    }
    assert page.finished == {"stop": 2, "length": 2, "abort": 0, "error": 0, "repetition": 0}
    first = page.histograms["first_token"]
    assert (first.buckets[0.01], first.buckets[INF], first.count) == (1, 4, 4)
    assert first.sum == pytest.approx(16.878691)
    assert {name: one.count for name, one in page.histograms.items()} == {
        "first_token": 4,
        "output_token": 4,
        "whole": 4,
        "queue": 4,
    }


def test_the_reasons_of_waiting_are_not_counted_again() -> None:
    page = (
        b'vllm:num_requests_waiting{engine="0"} 3.0\n'
        b'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 3.0\n'
    )
    assert parse(page).gauges == {"waiting": 3}


@pytest.mark.parametrize(
    ("line", "figure", "value"),
    [
        (b'vllm:gpu_cache_usage_perc{model_name="m"} 0.25', "kv_cache", 0.25),
        (b'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0', "kv_cache_tokens", 1600),
    ],
)
def test_older_names_are_known(line: bytes, figure: str, value: float) -> None:
    assert getattr(parse(line + b"\n"), figure) == value


def test_an_older_name_of_a_counter_and_of_a_histogram_is_known() -> None:
    page = parse(
        b'vllm:gpu_prefix_cache_hits_total{engine="0"} 7.0\n'
        b'vllm:time_per_output_token_seconds_bucket{le="0.1"} 2.0\n'
        b'vllm:time_per_output_token_seconds_bucket{le="+Inf"} 3.0\n'
        b"vllm:time_per_output_token_seconds_sum{} 0.5\n"
    )
    assert page.counters == {"prefix_hits": 7}
    assert page.histograms["output_token"].buckets == {0.1: 2, INF: 3}
    assert page.histograms["output_token"].sum == 0.5


def test_of_two_names_for_one_figure_only_the_first_counts() -> None:
    page = b"vllm:prefix_cache_hits_total{} 5.0\nvllm:gpu_prefix_cache_hits_total{} 5.0\n"
    assert parse(page).counters == {"prefix_hits": 5}


def test_several_engines_are_summed_and_the_fullest_cache_is_shown() -> None:
    page = parse(
        b'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_running{engine="1"} 3.0\n'
        b'vllm:kv_cache_usage_perc{engine="0"} 0.5\nvllm:kv_cache_usage_perc{engine="1"} 0.25\n'
        b'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5"} 1.0\n'
        b'vllm:time_to_first_token_seconds_count{engine="0"} 1.0\n'
        b'vllm:time_to_first_token_seconds_sum{engine="0"} 0.25\n'
        b'vllm:time_to_first_token_seconds_bucket{engine="1",le="0.5"} 2.0\n'
        b'vllm:time_to_first_token_seconds_sum{engine="1"} 0.5\n'
        b'vllm:request_success_total{engine="0",finished_reason="stop"} 4.0\n'
        b'vllm:request_success_total{engine="1",finished_reason="stop"} 5.0\n'
    )
    assert (page.gauges["running"], page.kv_cache) == (5, 0.5)
    assert page.histograms["first_token"].buckets == {0.5: 3}
    assert page.histograms["first_token"].sum == 0.75
    assert page.finished == {"stop": 9}


def test_labels_may_hold_anything_and_a_time_may_follow() -> None:
    page = rb'vllm:num_requests_running{engine="0",model_name="a } {le=\"1\"} 9"} 4.0 1795578918533' + b"\n"
    assert parse(page).gauges == {"running": 4}


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>busy</html>",
        b"vllm:num_requests_running",
        b'vllm:num_requests_running{engine="0"',
        b'vllm:num_requests_running{engine="0"} many',
        b'vllm:num_requests_running{engine="0"} NaN',
        b'vllm:time_to_first_token_seconds_bucket{le="soon"} 1.0',
        b"\xff\xfevllm:num_requests_running 1",
    ],
)
def test_what_is_not_there_is_absent(page: bytes) -> None:
    found = parse(page)
    assert (found.gauges, found.kv_cache, found.kv_cache_tokens) == ({}, None, None)
    assert (found.counters, found.finished, found.histograms) == ({}, {}, {})


def test_every_cut_of_a_real_page_is_read_without_failing() -> None:
    for end in range(0, len(PAGE), 997):
        parse(PAGE[:end])
