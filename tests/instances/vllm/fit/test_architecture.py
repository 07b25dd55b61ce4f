from __future__ import annotations

from typing import Any

import pytest

from benchmarks.fit_models import KNOWN, Known
from instances.vllm.fit.architecture import Facts, facts_of
from instances.vllm.fit.quantization import quantization_of

from .made import QWEN3_8B


def facts(**changes: Any) -> Facts:
    found = facts_of(QWEN3_8B | changes)
    assert found is not None
    return found


def kinds(found: Facts) -> list[tuple[str, int, int]]:
    return [(cache.kind, cache.layers, cache.window) for cache in found.caches]


def test_a_head_that_is_not_told_is_the_width_divided() -> None:
    assert facts(head_dim=None).head_dim == 128


def test_without_kv_heads_every_head_has_its_own() -> None:
    config = {key: value for key, value in QWEN3_8B.items() if key != "num_key_value_heads"}
    found = facts_of(config)
    assert found is not None and found.kv_heads == 32


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mistral-7B-v0.1", [("window", 32, 4096)]),
        ("Mistral-7B-v0.3", [("full", 32, 0)]),
        ("Gemma-2-9B", [("window", 21, 4096), ("full", 21, 0)]),
        ("Gemma-3-12B", [("window", 40, 1024), ("full", 8, 0)]),
        ("gpt-oss-20b (mxfp4)", [("window", 12, 128), ("full", 12, 0)]),
        ("DeepSeek-V2-Lite (MLA)", [("latent", 27, 0)]),
        ("Qwen2.5-7B-Instruct-AWQ", [("full", 28, 0)]),
    ],
)
def test_the_kind_of_every_layer_is_known(name: str, expected: list[tuple[str, int, int]]) -> None:
    (known,) = [one for one in KNOWN if one.name == name]
    found = facts_of(known.config)
    assert found is not None and kinds(found) == expected


def test_layers_that_the_config_lists_win_over_the_pattern() -> None:
    types = ["sliding_attention"] * 35 + ["full_attention"]
    found = facts(layer_types=types, sliding_window=512, use_sliding_window=True)
    assert kinds(found) == [("window", 35, 512), ("full", 1, 0)]


def test_a_window_counts_for_qwen_only_when_it_is_switched_on() -> None:
    assert kinds(facts(sliding_window=4096)) == [("full", 36, 0)]
    switched = facts(sliding_window=4096, use_sliding_window=True, max_window_layers=30)
    assert kinds(switched) == [("full", 30, 0), ("window", 6, 4096)]


def test_layers_that_share_a_cache_keep_none_of_their_own() -> None:
    assert kinds(facts(num_kv_shared_layers=6)) == [("full", 30, 0)]


def test_layers_with_a_state_keep_nothing_for_each_token() -> None:
    found = facts_of(
        QWEN3_8B
        | {
            "model_type": "qwen3_next",
            "full_attention_interval": 4,
            "linear_num_value_heads": 32,
            "linear_num_key_heads": 16,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4,
        }
    )
    assert found is not None
    state, full = found.caches
    assert (state.kind, state.layers, full.kind, full.layers) == ("state", 27, "full", 9)
    assert (state.conv, state.state) == ((2 * 128 * 16 + 128 * 32) * 3, 32 * 128 * 128)


def test_an_encoder_keeps_no_cache() -> None:
    found = facts(model_type="bert")
    assert found.caches == () and not found.generates


def test_a_model_that_sees_is_read_from_its_text_part() -> None:
    found = facts_of({"model_type": "x", "text_config": QWEN3_8B, "vision_config": {"hidden_size": 9}})
    assert found is not None and (found.layers, found.model_type) == (36, "qwen3")


@pytest.mark.parametrize(
    ("rope", "context", "default"),
    [
        ({"rope_type": "yarn", "factor": 4.0}, 40960, 40960),
        ({"rope_type": "llama3", "factor": 8.0}, 40960, 40960),
        ({"type": "linear", "factor": 4.0}, 163840, 163840),
        ({"rope_type": "dynamic", "factor": 2.0}, 81920, 81920),
        ({"rope_type": "longrope"}, 40960, 4096),
        ({"full_attention": {"rope_type": "linear", "factor": 2}}, 81920, 81920),
        ({"rope_type": "linear", "factor": None}, 40960, 40960),
    ],
)
def test_the_context_is_stretched_as_vllm_does_it(rope: dict[str, Any], context: int, default: int) -> None:
    found = facts(rope_scaling=rope, original_max_position_embeddings=4096)
    assert (found.context, found.default_context) == (context, default)


@pytest.mark.parametrize(
    ("config", "method", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", 4.15625),
        ({"quant_method": "gptq", "bits": 8, "group_size": 64}, "gptq", 8.375),
        ({"quant_method": "mxfp4"}, "mxfp4", 4.25),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes", 8.0),
        ({"quant_method": "fp8"}, "fp8", 8.0 + 32 / 16384),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4}}}},
            "compressed-tensors",
            4.0,
        ),
    ],
)
def test_a_quantised_model_says_how_small_its_numbers_are(
    config: dict[str, Any], method: str, bits: float
) -> None:
    found = quantization_of({"quantization_config": config})
    assert found is not None and (found.method, found.bits) == (method, bits)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_a_well_known_model_has_a_shape(known: Known) -> None:
    assert facts_of(known.config) is not None


@pytest.mark.parametrize("config", [{}, {"hidden_size": 5}, QWEN3_8B | {"is_encoder_decoder": True}])
def test_a_shape_that_cannot_be_told_is_none(config: dict[str, Any]) -> None:
    assert facts_of(config) is None
