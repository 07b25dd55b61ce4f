"""How many numbers a model has, from its shape alone: for models whose weights nobody has looked at yet.

Exact for the usual decoders (Llama, Qwen, Mistral, Gemma, Phi, gpt-oss, DeepSeek); others come near.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import kinds
from .architecture import Facts
from .values import first, truth, whole

TWO_MATRICES = frozenset(
    (
        "gpt2",
        "gpt_neox",
        "gptj",
        "opt",
        "falcon",
        "bloom",
        "starcoder2",
        "gpt_bigcode",
        "phi",
        "nemotron",
        "mpt",
    )
)
BIASED = frozenset(("qwen2", "qwen2_moe", "gpt2", "gpt_neox", "opt", "starcoder2", "phi", "gpt_oss"))
BIASED_OUT = frozenset(("gpt2", "gpt_neox", "opt", "starcoder2", "phi", "gpt_oss"))  # also the way out
FOUR_NORMS = frozenset(("gemma2", "gemma3_text", "gemma3n_text", "glm4", "gemma4_text"))
NORMED_HEADS = frozenset(("qwen3", "qwen3_moe", "qwen3_next", "gemma3_text", "gemma4_text", "olmo2", "olmo3"))
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True)
class Parameters:
    """Numbers of one model, by what is done to them."""

    plain: int  # embeddings, head, norms, what sees: never quantised
    linear: int  # matrices outside of experts
    experts: int  # matrices of experts
    spare: int = 0  # for guessing several tokens at once: in the checkpoint, not loaded

    @property
    def loaded(self) -> int:
        return self.plain + self.linear + self.experts


def parameters_of(facts: Facts) -> Parameters:
    text = facts.config
    attention = _attention(facts)
    norms = facts.hidden * (4 if facts.model_type in FOUR_NORMS else 2)
    if facts.model_type in NORMED_HEADS:
        norms += 2 * facts.head_dim
    if kinds.is_latent(text):
        norms += (first(text, "q_lora_rank") or 0) + (first(text, "kv_lora_rank") or 0)
    experts_layers = _expert_layers(text, facts.layers)
    dense = (facts.layers - experts_layers) * _mlp(facts, facts.intermediate)
    shared, experts = _experts(facts) if experts_layers else (0, 0)
    linear = facts.layers * attention + dense + experts_layers * shared
    plain = _embeddings(facts) + facts.layers * norms + facts.hidden + _vision(facts)
    extra = whole(text.get("num_nextn_predict_layers"), 0, 8) or 0
    spare = extra * (attention + shared + experts + norms + 2 * facts.hidden**2)
    return Parameters(plain, linear, experts_layers * experts, spare)


def _attention(facts: Facts) -> int:
    """The matrices of one layer's attention. Layers with a state instead are counted alike: they come near."""
    text, hidden = facts.config, facts.hidden
    if kinds.is_latent(text):
        rank, rope = first(text, "kv_lora_rank") or 0, first(text, "qk_rope_head_dim") or 0
        nope, value = first(text, "qk_nope_head_dim") or 0, first(text, "v_head_dim") or 0
        query = first(text, "q_lora_rank")
        whole_query = facts.heads * (nope + rope)
        queries = query * (hidden + whole_query) if query else hidden * whole_query
        return queries + hidden * (rank + rope) + facts.heads * (rank * (nope + value) + value * hidden)
    queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    matrices = 2 * hidden * queries + 2 * hidden * keys
    if facts.model_type in BIASED or truth(text.get("attention_bias")):
        matrices += queries + 2 * keys
        if facts.model_type in BIASED_OUT or facts.model_type not in BIASED:
            matrices += hidden
    if facts.model_type == "gpt_oss":
        matrices += facts.heads  # sinks
    return matrices


def _mlp(facts: Facts, width: int) -> int:
    if facts.model_type in TWO_MATRICES:
        return 2 * facts.hidden * width + (facts.hidden + width if facts.model_type in BIASED_OUT else 0)
    return 3 * facts.hidden * width


def _expert_layers(text: Mapping[str, Any], layers: int) -> int:
    if not first(text, *EXPERTS):
        return 0
    begin = whole(text.get("first_k_dense_replace"), 0, layers) or 0
    step = first(text, "decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step") or 1
    dense = text.get("mlp_only_layers")
    dense = dense if isinstance(dense, list) else []
    chosen = (index for index in range(begin, layers) if index not in dense)
    return sum(1 for index in chosen if step == 1 or (index + 1) % step == 0)


def _experts(facts: Facts) -> tuple[int, int]:
    """Of one layer: what every token goes through (router, shared experts), and all the others."""
    text, hidden = facts.config, facts.hidden
    count = first(text, *EXPERTS, most=10**5) or 0
    width = first(text, "moe_intermediate_size", most=10**8) or facts.intermediate
    shared_width = first(text, "shared_expert_intermediate_size", most=10**8) or 0
    shared_width += (first(text, "n_shared_experts", most=10**4) or 0) * width
    always = hidden * count + 3 * hidden * shared_width
    if facts.model_type in ("qwen2_moe", "qwen3_next"):
        always += hidden  # the shared expert's own gate
    if facts.model_type in ("deepseek_v3", "deepseek_v32", "gpt_oss"):
        always += count  # a bias of the router
    each = 3 * hidden * width + (2 * width + hidden if facts.model_type == "gpt_oss" else 0)
    return always, count * each


def _embeddings(facts: Facts) -> int:
    table = facts.vocab * facts.hidden
    positions = 0
    if facts.model_type in ("gpt2", "opt") or facts.model_type in kinds.ENCODERS:
        positions = min(facts.context, 10**6) * facts.hidden
    headless = facts.tied or not facts.generates
    return positions + (table if headless else 2 * table)


def _vision(facts: Facts) -> int:
    """What sees, and the bridge to what speaks: about a percent of the whole."""
    layers = first(facts.vision, "num_hidden_layers", "depth", most=kinds.LAYERS_MOST)
    hidden = first(facts.vision, "hidden_size", "embed_dim", most=10**6)
    if not layers or not hidden:
        return 0
    wide = first(facts.vision, "intermediate_size", most=10**7) or 4 * hidden
    gates = 3 if facts.vision.get("model_type") in ("pixtral", "qwen2_5_vl", "qwen3_vl") else 2
    return layers * (4 * hidden**2 + gates * hidden * wide) + hidden * facts.hidden
