"""Whatever a config.json, a header or a configuration holds: an answer, never an error."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from instances.vllm.fit import tensors
from instances.vllm.fit.advice import advise
from instances.vllm.fit.estimate import Correction, Model, estimate
from instances.vllm.fit.room import Place, Room
from instances.vllm.fit.settings import settings_of

from .made import GIB, QWEN3_8B, gpu

KEYS = (
    *QWEN3_8B,
    *("sliding_window", "use_sliding_window", "max_window_layers", "layer_types", "num_kv_shared_layers"),
    *("kv_lora_rank", "qk_rope_head_dim", "q_lora_rank", "v_head_dim", "quantization_config", "text_config"),
    *(
        "rope_scaling",
        "rope_parameters",
        "num_local_experts",
        "num_experts",
        "num_experts_per_tok",
        "n_layer",
    ),
    *(
        "moe_intermediate_size",
        "attn_layer_period",
        "mamba_d_state",
        "mamba_n_heads",
        "vision_config",
        "dtype",
    ),
    *("attention_chunk_size", "hybrid_override_pattern", "full_attention_interval", "attn_layer_indices"),
    *(
        "num_nextn_predict_layers",
        "mlp_only_layers",
        "decoder_sparse_step",
        "first_k_dense_replace",
        "attn_config",
    ),
    *(
        "global_head_dim",
        "linear_num_value_heads",
        "sliding_window_pattern",
        "thinker_config",
        "is_encoder_decoder",
    ),
)
TYPES = (
    "qwen3",
    "gemma2",
    "gemma3_text",
    "gpt_oss",
    "deepseek_v3",
    "mamba2",
    "jamba",
    "falcon",
    "bert",
    "llama4_text",
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.integers(0, 64),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["auto", "-1", "1e9", "linear", "longrope", "fp8", "awq", "compressed-tensors"]),
)
VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
)
CONFIGS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)
PLACES = st.lists(
    st.builds(
        Place, st.just("GPU 0"), st.integers(0, 10**12), st.integers(0, 10**12), st.just(()), st.just(0)
    ),
    max_size=3,
)
FIELDS = (
    "dtype",
    "max_model_len",
    "gpu_memory_utilization",
    "tensor_parallel_size",
    "gpus",
    "quantization",
    "env",
)
FLAGS = (
    *("kv-cache-dtype", "max-num-seqs", "max-num-batched-tokens", "block-size", "pipeline-parallel-size"),
    *("kv-cache-memory-bytes", "cpu-offload-gb", "hf-overrides", "enforce-eager", "data-parallel-size"),
)


@settings(max_examples=400, deadline=None)
@given(CONFIGS, st.sampled_from(TYPES), st.booleans(), PLACES, st.sampled_from(["cpu", "cuda"]))
def test_an_odd_config_never_raises(
    changes: dict[str, Any], kind: str, usual: bool, places: list[Place], accelerator: str
) -> None:
    config = {**(QWEN3_8B if usual else {}), "model_type": kind, **changes}
    model, wanted, room = Model(config), settings_of({}, accelerator), Room(tuple(places))
    found = estimate(model, wanted, room)
    advise(model, wanted, room, Correction(), found)
    assert found.summary is not None and found.verdict in ("fits", "tight", "no", "unknown")


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
    st.dictionaries(st.sampled_from(FLAGS), VALUES, max_size=5),
    st.sampled_from(["cpu", "cuda"]),
)
@example({"gpus": 3}, {}, "cuda")
@example({"gpus": True}, {}, "cpu")
def test_odd_settings_never_raise(fields: dict[str, Any], flags: dict[str, Any], accelerator: str) -> None:
    wanted = settings_of({**fields, "args": flags}, accelerator)
    model, room = Model(QWEN3_8B), Room((gpu(0, 24), gpu(1, 24, held=20)))
    found = estimate(model, wanted, room)
    advise(model, wanted, room, Correction(), found)
    assert found.weights is None or found.weights >= 0


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5), VALUES | st.fixed_dictionaries({"dtype": st.just("BF16"), "shape": VALUES})
    )
)
def test_an_odd_header_never_raises(header: dict[str, Any]) -> None:
    found = tensors.from_headers([header])
    assert found is None or found.bytes >= 0


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40960), st.integers(0, 40 * GIB))
def test_the_largest_context_always_fits(context: int, room: int) -> None:
    from instances.vllm.fit.architecture import facts_of
    from instances.vllm.fit.kv_cache import kv_cache_of

    facts = facts_of(QWEN3_8B)
    assert facts is not None
    cache = kv_cache_of(facts, settings_of({}, "cuda"))
    largest = cache.largest(room, context)
    assert largest <= context
    assert largest == 0 or cache.need(largest) <= room
    assert largest == context or cache.need(largest + cache.block) > room
