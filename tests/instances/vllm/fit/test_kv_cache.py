from __future__ import annotations

from typing import Any

import pytest

from benchmarks.fit_models import KNOWN, Known
from instances.vllm.fit.architecture import facts_of
from instances.vllm.fit.kv_cache import KvCache, kv_cache_of, per_token_whole
from instances.vllm.fit.settings import Settings
from instances.vllm.fit.weights import weights_of

from .made import QWEN3_8B

MIB, GIB = 2**20, 2**30


def cache(config: dict[str, Any] | None = None, **settings: Any) -> KvCache:
    found = facts_of(config or QWEN3_8B)
    assert found is not None
    return kv_cache_of(found, Settings(**settings))


def known(name: str) -> dict[str, Any]:
    return next(one.config for one in KNOWN if one.name == name)


@pytest.mark.parametrize("one", KNOWN, ids=lambda one: one.name)
def test_a_token_of_a_well_known_model_takes_what_was_reckoned_by_hand(one: Known) -> None:
    found = cache(one.config)
    assert (found.per_token, found.per_token_long) == (one.token, one.long)


def test_an_fp8_cache_takes_half() -> None:
    assert cache(cache_dtype="fp8").per_token == cache().per_token // 2


def test_a_checkpoint_may_bring_an_fp8_cache() -> None:
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    quantised = QWEN3_8B | {"quantization_config": scheme}
    assert cache(quantised).per_token == cache().per_token // 2
    assert cache(quantised, cache_dtype="bfloat16").per_token == cache().per_token


def test_ranks_share_the_heads_until_each_has_one() -> None:
    assert cache(tensor_parallel=4).per_token == cache().per_token // 4
    assert cache(tensor_parallel=8).per_token == cache().per_token // 8
    assert cache(tensor_parallel=16).per_token == cache().per_token // 8


def test_a_latent_vector_is_never_split() -> None:
    assert cache(known("DeepSeek-V3 (MLA, fp8)"), tensor_parallel=8).per_token == 70_272


def test_stages_share_the_layers() -> None:
    assert cache(pipeline_parallel=2).per_token == cache().per_token // 2


def test_all_gpus_together_keep_a_token_once() -> None:
    found = facts_of(QWEN3_8B)
    assert found is not None and per_token_whole(found, Settings(tensor_parallel=16)) == 147_456


def test_a_request_takes_whole_blocks_and_one_is_never_given_out() -> None:
    found = cache()
    block = 16 * found.per_token
    assert found.need(1) == 2 * block
    assert found.need(16) == 2 * block
    assert found.need(17) == 3 * block


def test_the_largest_context_is_whole_blocks_that_fit() -> None:
    found = cache()
    assert found.largest(found.need(1000), 40960) == 1008
    assert found.largest(found.need(1000) - 1, 40960) == 992
    assert found.largest(0, 40960) == 0
    assert found.largest(10**15, 40960) == 40960


def test_layers_with_a_window_hold_the_window_and_what_is_under_way() -> None:
    config = QWEN3_8B | {"model_type": "mistral", "sliding_window": 4096}
    found = cache(config, batched=2048, in_flight=1)
    blocks = -(-(4095 + 2048) // 16) + 1
    assert found.need(32768) == (blocks + 1) * 16 * found.per_token
    assert found.per_token_long == 0


def test_windows_count_as_full_where_they_are_switched_off() -> None:
    windows, plain = cache(known("Gemma-2-9B")), cache(known("Gemma-2-9B"), plain_windows=True)
    assert plain.need(8192) == 16 * 344_064 * (8192 // 16 + 1)
    assert windows.per_token == plain.per_token and plain.per_token_long == plain.per_token


def test_gemma_3_takes_groups_of_eight_layers() -> None:
    found = cache(known("Gemma-3-12B"), batched=2048, in_flight=1)
    assert [group.kind for group in found.groups].count("window") == 5
    assert found.pool_block == 8 * 16 * 8192


@pytest.mark.parametrize(
    ("config", "room", "context", "tokens"),
    [
        # A real CPU engine: 4 layers, two KV heads of 32 numbers, blocks of 128.
        ({"num_hidden_layers": 4, "num_key_value_heads": 2, "head_dim": 32}, 64 * MIB, 512, 65_536),
        ({"num_hidden_layers": 4, "num_key_value_heads": 2, "head_dim": 32}, GIB, 512, 1_048_576),
        # A context that is no multiple of a block, as vLLM 0.32 logged it.
        ({"num_hidden_layers": 4, "num_key_value_heads": 2, "head_dim": 32}, 64 * MIB, 300, 51_200),
    ],
)
def test_the_cache_has_the_size_that_a_real_engine_logged(
    config: dict[str, Any], room: int, context: int, tokens: int
) -> None:
    assert cache(QWEN3_8B | config, accelerator="cpu").tokens(room, context) == tokens


def test_weights_and_cache_are_those_that_a_gpu_logged() -> None:
    """TinyLlama 1.1B: 2.0513 GiB, and 1,587,648 tokens in what the log rounds to 33.31 GiB (reports/gpu-start-0.11)."""
    config = QWEN3_8B | {
        **{"model_type": "llama", "num_hidden_layers": 22, "hidden_size": 2048, "intermediate_size": 5632},
        **{"num_key_value_heads": 4, "head_dim": 64, "vocab_size": 32000, "max_position_embeddings": 2048},
    }
    facts = facts_of(config)
    assert facts is not None
    assert weights_of(facts, None, Settings()).bytes / GIB == pytest.approx(2.0513, rel=0.002)
    assert cache(config).tokens(int(33.31 * GIB), 2048) == pytest.approx(
        1_587_648, abs=0.005 * GIB / 22_528 + 16
    )


def test_a_model_without_a_cache_needs_none() -> None:
    found = cache(QWEN3_8B | {"model_type": "bert"})
    assert (found.need(512), found.sequences(GIB, 512), found.largest(0, 512)) == (0, 0.0, 512)


def test_a_state_takes_one_block_whatever_the_length() -> None:
    config = QWEN3_8B | {
        "model_type": "qwen3_next",
        "full_attention_interval": 4,
        "linear_num_value_heads": 32,
        "linear_num_key_heads": 16,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
    }
    found = cache(config)
    states = [group for group in found.groups if group.kind == "state"]
    assert len(states) == 3 and {group.blocks(10) for group in states} == {
        group.blocks(10**6) for group in states
    } == {1}
    assert found.per_token == 9 * 2 * 8 * 128 * 2
