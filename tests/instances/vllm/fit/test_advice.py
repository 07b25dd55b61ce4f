from __future__ import annotations

from typing import Any

import pytest

from instances.vllm.fit.advice import Advice, advise
from instances.vllm.fit.estimate import Correction, Model, estimate
from instances.vllm.fit.room import Room
from instances.vllm.fit.settings import Settings

from .made import GIB, QWEN3_8B, gpu, gpus, ram


def advice(room: Room, config: dict[str, Any] | None = None, **settings: Any) -> Advice | None:
    model, wanted = Model(config or QWEN3_8B), Settings(**settings)
    found = estimate(model, wanted, room)
    return advise(model, wanted, room, Correction(), found)


def change(room: Room, config: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    found = advice(room, config, **settings)
    assert found is not None and found.text and found.price
    return dict(found.change)


def test_what_fits_needs_no_advice() -> None:
    assert advice(gpus(gpu(total=48)), context=8192) is None


def test_a_context_that_is_too_long_is_shortened_to_what_fits() -> None:
    found = change(gpus(), context=40960)
    assert set(found) == {"max_model_len"} and found["max_model_len"] % 1024 == 0
    assert 16384 <= found["max_model_len"] < 40960


def test_a_context_beyond_the_models_becomes_the_models() -> None:
    assert change(gpus(gpu(total=48)), context=262144) == {"max_model_len": 40960}


def test_a_context_beyond_the_models_may_need_one_thing_more() -> None:
    found = change(gpus(gpu(total=48, held=20)), context=262144)
    assert found == {"max_model_len": 40960, "gpu_memory_utilization": 0.56}
    assert change(gpus(gpu(total=24)), context=262144).keys() == {"max_model_len"}


def test_a_share_that_others_hold_becomes_what_is_free() -> None:
    assert change(gpus(gpu(total=48, held=20)), context=8192) == {"gpu_memory_utilization": 0.56}


def test_a_model_too_large_for_one_gpu_takes_two() -> None:
    assert change(gpus(gpu(0, 12), gpu(1, 12)), context=4096) == {"tensor_parallel_size": 2}


def test_chosen_gpus_are_let_go_when_more_are_needed() -> None:
    room = gpus(gpu(0, 12), gpu(1, 12))
    assert change(room, context=4096, gpus=("1",)) == {"tensor_parallel_size": 2, "gpus": None}


def test_heads_that_cannot_be_split_take_fewer_gpus() -> None:
    room = gpus(*(gpu(index) for index in range(3)))
    assert change(room, tensor_parallel=3, context=8192) == {"tensor_parallel_size": 2}


def test_one_small_gpu_loads_the_weights_in_fp8() -> None:
    assert change(gpus(gpu(total=16)), context=8192) == {"quantization": "fp8"}


def test_a_cache_that_is_a_little_short_is_kept_in_fp8() -> None:
    """Most of the context does not fit, half of the cache does."""
    large = QWEN3_8B | {"num_key_value_heads": 32}
    found = change(gpus(gpu(total=40)), large, context=40960)
    assert found == {"args": {"kv-cache-dtype": "fp8"}} or set(found) == {"max_model_len"}


def test_on_a_cpu_the_cache_grows_with_the_context() -> None:
    found = change(ram(64, 60), accelerator="cpu", cache_bytes=64 * 2**20, context=4096)
    assert found == {"args": {"kv-cache-memory-bytes": "1G"}}


def test_on_a_full_machine_the_cache_shrinks() -> None:
    found = change(ram(32, 20), accelerator="cpu", cache_bytes=8 * GIB, context=2048)
    assert found == {"args": {"kv-cache-memory-bytes": "512M"}}


def test_where_nothing_helps_nothing_is_advised() -> None:
    assert advice(gpus(gpu(total=4)), context=8192) is None


@pytest.mark.parametrize("total", [12, 16, 20, 24, 28, 32, 40])
def test_what_is_advised_does_fit(total: int) -> None:
    found = advice(gpus(gpu(total=total)), context=40960)
    if found is None:
        return
    fields = {"max_model_len": "context", "quantization": "quantization", "gpu_memory_utilization": "share"}
    changed = {fields[key]: value for key, value in found.change.items() if key in fields}
    after = estimate(Model(QWEN3_8B), Settings(**{"context": 40960} | changed), gpus(gpu(total=total)))
    assert "args" in found.change or after.verdict != "no"
