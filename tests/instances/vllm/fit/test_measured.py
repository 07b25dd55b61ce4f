from __future__ import annotations

import pytest

from instances.vllm.fit.measured import MeasuredReader, error

from ..samples import real, report

GIB = 2**30


def told(lines: list[str]) -> dict[str, object]:
    reader = MeasuredReader()
    for line in lines:
        reader.feed(line)
    return reader.found


@pytest.mark.parametrize(
    ("name", "tokens", "cache"),
    [("default-start", 1_048_576, GIB), ("multiprocess-start", 65_536, int(0.06 * GIB))],
)
def test_a_cpu_engine_tells_its_cache(name: str, tokens: int, cache: int) -> None:
    found = told(real(name))
    assert (found["tokens"], found["context"], found["sequences"]) == (tokens, 512, tokens / 512)
    assert found["cache"] == pytest.approx(cache, abs=0.006 * GIB)
    assert found["checkpoint"] == 0
    assert "weights" not in found


def test_a_gpu_engine_tells_weights_cache_and_graphs() -> None:
    found = told(report("gpu-start-0.11"))
    assert found["weights"] == int(2.0513 * GIB)
    assert found["cache"] == int(33.31 * GIB)
    assert (found["tokens"], found["context"], found["sequences"]) == (1_587_648, 2048, 775.22)
    assert told(report("gpu-start-0.9"))["graphs"] == int(0.45 * GIB)


def test_an_old_engine_tells_it_in_other_words() -> None:
    found = told(report("gpu-start-0.6"))
    assert found["weights"] == int(18.4902 * GIB)
    assert found["cache"] == int(34.96 * GIB)
    assert (found["context"], found["sequences"]) == (1024, 2967.89)


def test_of_several_ranks_the_largest_weights_and_the_smallest_cache_count() -> None:
    lines = [
        "(Worker_TP0 pid=1) INFO 1-1 x Model loading took 7.5 GiB memory and 2.0 seconds",
        "(Worker_TP1 pid=2) INFO 1-1 x Model loading took 7.6 GiB memory and 2.0 seconds",
        "(Worker_TP0 pid=1) INFO 1-1 x Available KV cache memory: 9.00 GiB",
        "(Worker_TP1 pid=2) INFO 1-1 x Available KV cache memory: 8.50 GiB",
    ]
    assert told(lines) == {"weights": int(7.6 * GIB), "cache": int(8.5 * GIB)}


def test_a_line_says_whether_it_told_something_new() -> None:
    reader = MeasuredReader()
    line = "INFO 1-1 x Available KV cache memory: 9.00 GiB"
    assert reader.feed(line) and not reader.feed(line)
    assert not reader.feed("INFO 1-1 x Starting vLLM server")


@pytest.mark.parametrize("line", ["Model loading took ... GiB", "KV cache size: ,,, tokens", "x" * 10_000])
def test_an_odd_line_tells_nothing_wrong(line: str) -> None:
    assert all(value == 0 for value in told([line]).values())


def test_the_error_of_an_estimate_is_a_share_of_what_was_measured() -> None:
    assert error(103, 100) == pytest.approx(0.03)
    assert error(None, 100) is None and error(5, 0) is None and error(5, "x") is None
