from __future__ import annotations

from typing import Any

import pytest

from benchmarks.fit_models import KNOWN, Known
from instances.vllm.fit import tensors
from instances.vllm.fit.architecture import Facts, facts_of
from instances.vllm.fit.settings import Settings
from instances.vllm.fit.weights import per_gpu, serving_dtype, weights_of

from .made import QWEN3_8B, tensor

GIB = 2**30


def facts(**changes: Any) -> Facts:
    found = facts_of(QWEN3_8B | changes)
    assert found is not None
    return found


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_the_weights_of_a_well_known_model_follow_from_its_shape(known: Known) -> None:
    found = facts_of(known.config)
    assert found is not None
    assert abs(weights_of(found, None, Settings()).bytes / known.bytes - 1) < 0.005


@pytest.mark.parametrize(
    ("checkpoint", "asked", "served"),
    [
        ("float32", "auto", "bfloat16"),
        ("float16", "auto", "float16"),
        ("bfloat16", "float32", "float32"),
        ("bfloat16", "half", "half"),
    ],
)
def test_the_served_type_is_vllms_choice(checkpoint: str, asked: str, served: str) -> None:
    assert serving_dtype(facts(torch_dtype=checkpoint), Settings(dtype=asked)) == served


def test_a_checkpoint_in_float32_takes_half_when_it_is_served() -> None:
    stored = tensors.from_headers([{"a": tensor("F32", 1000)}])
    assert weights_of(facts(torch_dtype="float32"), stored, Settings()).bytes == 2000
    assert weights_of(facts(torch_dtype="float32"), stored, Settings(dtype="float32")).bytes == 4000


def test_scales_of_a_quantised_model_stay_in_float32() -> None:
    stored = tensors.from_headers([{"a": tensor("F8_E4M3", 1000), "scale": tensor("F32", 10)}])
    found = facts(quantization_config={"quant_method": "fp8"})
    assert weights_of(found, stored, Settings()).bytes == 1040


def test_a_tied_head_that_is_stored_is_not_loaded() -> None:
    stored = tensors.from_headers([{"lm_head.weight": tensor("BF16", 500), "a": tensor("BF16", 1000)}])
    assert weights_of(facts(tie_word_embeddings=True), stored, Settings()).bytes == 2000
    assert weights_of(facts(), stored, Settings()).bytes == 3000


def test_layers_for_guessing_count_only_when_it_guesses() -> None:
    stored = tensors.from_headers(
        [{"model.layers.35.a": tensor("BF16", 100), "model.layers.36.a": tensor("BF16", 100)}]
    )
    assert weights_of(facts(), stored, Settings()).bytes == 200
    assert weights_of(facts(), stored, Settings(guesses=True)).bytes == 400


def test_a_quantisation_on_the_fly_makes_matrices_smaller_and_leaves_embeddings() -> None:
    plain = weights_of(facts(), None, Settings()).bytes
    small = weights_of(facts(), None, Settings(quantization="fp8")).bytes
    embeddings = 2 * 151936 * 4096 * 2
    assert small == pytest.approx((plain - embeddings) / 2 + embeddings, rel=0.001)


def test_ranks_share_the_weights() -> None:
    weights = weights_of(facts(), None, Settings())
    assert per_gpu(weights, facts(), Settings(tensor_parallel=2)) == weights.bytes // 2
    assert per_gpu(weights, facts(), Settings(pipeline_parallel=2)) == weights.bytes // 2


def test_more_ranks_than_kv_heads_repeat_them() -> None:
    weights = weights_of(facts(), None, Settings())
    one_head = 2 * 36 * 4096 * 128 * 2
    assert per_gpu(weights, facts(), Settings(tensor_parallel=16)) == weights.bytes // 16 + one_head // 2


def test_weights_that_stay_in_ram_are_not_on_the_gpu() -> None:
    weights = weights_of(facts(), None, Settings())
    assert per_gpu(weights, facts(), Settings(offload=4 * GIB)) == weights.bytes - 4 * GIB
