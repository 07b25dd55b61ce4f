"""The figures that we show of an engine, from its Prometheus page.

Only the lines that are wanted are looked at: a page has 700 of them, and is read every second. Names differ between
versions of vLLM, so each figure has a list of names, of which the first that is there counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from operator import lt

from monitoring.histogram import Histogram

GAUGES = {
    "running": (b"vllm:num_requests_running",),
    "waiting": (b"vllm:num_requests_waiting",),
}
FULLEST = (b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")  # the latter until 0.9
COUNTERS = {
    "prompt_tokens": (b"vllm:prompt_tokens_total",),
    "generation_tokens": (b"vllm:generation_tokens_total",),
    "preemptions": (b"vllm:num_preemptions_total",),
    "prefix_queries": (b"vllm:prefix_cache_queries_total", b"vllm:gpu_prefix_cache_queries_total"),
    "prefix_hits": (b"vllm:prefix_cache_hits_total", b"vllm:gpu_prefix_cache_hits_total"),
}
FINISHED = (b"vllm:request_success_total",)
HISTOGRAMS = {
    "first_token": (b"vllm:time_to_first_token_seconds",),
    "output_token": (
        b"vllm:request_time_per_output_token_seconds",  # one value a request
        b"vllm:time_per_output_token_seconds",  # until 0.11, one value a token
    ),
    "whole": (b"vllm:e2e_request_latency_seconds",),
    "queue": (b"vllm:request_queue_time_seconds",),
}
CACHE = b"vllm:cache_config_info"

_REASON = re.compile(rb'[{,]finished_reason="([^"]+)"')
_SIZE = re.compile(rb'[{,](kv_cache_size_tokens|block_size|num_gpu_blocks)="(\d+)(?:\.0)?"')


@dataclass(frozen=True)
class EnginePage:
    """One page, summed over its engines (data parallel). What the page does not show is absent."""

    gauges: dict[str, float] = field(default_factory=dict)
    kv_cache: float | None = None  # share in use of the fullest engine, 0 to 1
    kv_cache_tokens: int | None = None  # that all caches hold
    counters: dict[str, float] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)  # by reason
    histograms: dict[str, Histogram] = field(default_factory=dict)  # seconds


def parse(page: bytes) -> EnginePage:
    """Never fails: what is not as expected is left out."""
    page = b"\n" + page
    usage = [value for _, value in _samples(page, FULLEST)]
    return EnginePage(
        gauges={name: sum(values) for name, values in _sums(page, GAUGES)},
        kv_cache=max(usage, default=None),
        kv_cache_tokens=_cache_tokens(page),
        counters={name: sum(values) for name, values in _sums(page, COUNTERS)},
        finished=_finished(page),
        histograms={
            name: found
            for name, names in HISTOGRAMS.items()
            if (found := _histogram(page, names)) is not None
        },
    )


def _sums(page: bytes, figures: Mapping[str, tuple[bytes, ...]]) -> Iterator[tuple[str, list[float]]]:
    for figure, names in figures.items():
        if values := [value for _, value in _samples(page, names)]:
            yield figure, values


def _samples(page: bytes, names: tuple[bytes, ...]) -> list[tuple[bytes, float]]:
    """Labels and value of each line of the first of these names that the page has."""
    for name in names:
        if found := list(_lines(page, name)):
            return found
    return []


def _lines(page: bytes, name: bytes) -> Iterator[tuple[bytes, float]]:
    """Labels and value of the lines of one name, which follow one another."""
    start = page.find(b"\n" + name + b"{")
    if start < 0:
        start = page.find(b"\n" + name + b" ")
    while start >= 0:
        end = page.find(b"\n", start + 1)
        line = page[start + 1 : end if end >= 0 else len(page)]
        brace = line.rfind(b"}") + 1 or len(name)
        value = _number(line[brace:])
        if value is not None:
            yield line[len(name) : brace], value
        following = end >= 0 and page.startswith(name, end + 1) and page[end + 1 + len(name)] in b"{ "
        start = end if following else -1


def _histogram(page: bytes, names: tuple[bytes, ...]) -> Histogram | None:
    for name in names:
        start = page.find(b"\n" + name + b"_bucket{")
        if start >= 0:
            end = page.find(b"\n#", start)
            found = _family(name, page[start + 1 : end if end >= 0 else len(page)])
            return found if found.edges else None
    return None


@lru_cache(maxsize=512)  # while an engine rests, its histograms stay as they are
def _family(name: bytes, block: bytes) -> Histogram:
    """The lines of one histogram: for each engine its buckets, its count, its sum."""
    lines = _bucket_of(name).findall(block)
    sums = sum(_number(text) or 0.0 for text in _sum_of(name).findall(block))
    return _of_one_engine(lines, sums) or Histogram.of(_of_several(lines), sums)


def _of_one_engine(lines: list[tuple[bytes, bytes]], sums: float) -> Histogram | None:
    """The usual page, read quickly: every line a number, the edges ascending. None where it is another."""
    if not lines:
        return None
    uppers, texts = zip(*lines, strict=True)
    edges = _edges(uppers)
    try:
        counts = tuple(map(float, texts))
    except ValueError:
        return None
    return Histogram(edges, counts, sums) if edges and math.isfinite(sum(counts)) else None


@lru_cache(maxsize=64)
def _edges(uppers: tuple[bytes, ...]) -> tuple[float, ...] | None:
    try:
        edges = tuple(map(float, uppers))
    except ValueError:
        return None
    return edges if all(map(lt, edges, edges[1:])) else None


def _of_several(lines: list[tuple[bytes, bytes]]) -> dict[float, float]:
    """Buckets summed over engines; a line that is none is left out."""
    buckets: dict[float, float] = {}
    for upper, text in lines:
        edge, value = _number(upper, endless=True), _number(text)
        if edge is not None and value is not None:
            buckets[edge] = buckets.get(edge, 0.0) + value
    return buckets


@cache
def _sum_of(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^%s_sum.*\} (\S+)" % re.escape(name), re.MULTILINE)


@cache
def _bucket_of(name: bytes) -> re.Pattern[bytes]:
    """The upper edge and the value of each line of buckets."""
    return re.compile(rb'^%s_bucket\{(?:.*,)?le="([^"]+)".*\} (\S+)' % re.escape(name), re.MULTILINE)


def _finished(page: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, value in _samples(page, FINISHED):
        if reason := _REASON.search(labels):
            name = reason[1].decode("ascii", "replace")
            found[name] = found.get(name, 0.0) + value
    return found


def _cache_tokens(page: bytes) -> int | None:
    """vLLM 0.32 says it in tokens, versions before it in blocks."""
    total = 0
    for labels, _ in _lines(page, CACHE):
        said = {name: int(number) for name, number in _SIZE.findall(labels)}
        total += said.get(b"kv_cache_size_tokens") or said.get(b"num_gpu_blocks", 0) * said.get(
            b"block_size", 0
        )
    return total or None


def _number(text: bytes, *, endless: bool = False) -> float | None:
    """What stands there as a number; a time may follow it."""
    try:
        value = float(text)
    except ValueError:
        try:
            value = float(text.split(None, 1)[0])
        except (IndexError, ValueError):
            return None
    return value if math.isfinite(value) or (endless and value > 0) else None
