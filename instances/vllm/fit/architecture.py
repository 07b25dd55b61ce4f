"""What a model's config.json says of its shape. Never raises: what is missing or odd is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import kinds
from .quantization import Quantization, quantization_of
from .values import first, mapping, number, truth, whole

WIDTHS = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2, "float8": 1, "float64": 8}
ALREADY_SCALED = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling")
LENGTHS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length"),
    *("max_target_positions", "max_sequence_length", "max_seq_length", "seq_len"),
)
FALLBACK = 2048  # tokens: what vLLM takes where the config says nothing


@dataclass(frozen=True)
class Cache:
    """What all layers of one kind keep of a sequence."""

    kind: str  # one of kinds.py
    layers: int
    heads: int = 1  # with keys and values of their own; a latent vector is one, which is never split
    width: int = 0  # numbers of one head and token, keys and values together
    window: int = 0  # tokens, of "window" and "chunk"
    conv: int = 0  # numbers of one sequence, of "state": in the model's data type
    state: int = 0  # likewise, and perhaps in float32
    wide_state: bool = False  # it is in float32


@dataclass(frozen=True)
class Facts:
    """The shape of one model."""

    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int  # tokens that it was made for
    default_context: int  # that an engine takes when nothing is said
    dtype: str  # of the checkpoint
    caches: tuple[Cache, ...]  # empty: it keeps nothing, as encoders do
    intermediate: int  # the widest layer inside, of one token
    experts_per_token: int
    tied: bool  # the output head is the embedding
    quantization: Quantization | None
    config: Mapping[str, Any]  # the text model's part, with defaults
    vision: Mapping[str, Any]  # the part of a model that sees, or empty

    @property
    def generates(self) -> bool:
        return bool(self.caches)


def facts_of(config: Mapping[str, Any]) -> Facts | None:
    """None when the shape cannot be told: no layers, no width, or an encoder with a decoder."""
    text = kinds.with_defaults(config)
    layers = first(text, "num_hidden_layers", "n_layer", "num_layers", "n_layers", most=kinds.LAYERS_MOST)
    hidden = first(text, "hidden_size", "n_embd", "d_model", "dim", most=10**7)
    if layers is None or hidden is None or truth(text.get("is_encoder_decoder")):
        return None
    heads = first(text, "num_attention_heads", "n_head", "n_heads", most=10**6) or 1
    kv_heads = _kv_heads(text, heads)
    head_dim = first(text, "head_dim", "hidden_size_per_head", most=10**6) or max(hidden // heads, 1)
    model_type = str(text.get("model_type", ""))[:100]
    context, default_context = _context(text)
    return Facts(
        model_type=model_type,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=first(text, "vocab_size", "padded_vocab_size", most=10**8) or 0,
        context=context,
        default_context=default_context,
        dtype=_dtype(config, text),
        caches=() if model_type in kinds.ENCODERS else caches_of(text, layers, kv_heads, head_dim),
        intermediate=_intermediate(text, hidden),
        experts_per_token=first(text, "num_experts_per_tok", "top_k_experts", "moe_topk", most=10**4) or 0,
        tied=truth(text.get("tie_word_embeddings")),
        quantization=quantization_of(config) or quantization_of(text),
        config=text,
        vision=mapping(config.get("vision_config")),
    )


def caches_of(text: Mapping[str, Any], layers: int, heads: int, head_dim: int) -> tuple[Cache, ...]:
    """What its layers keep, a Cache for each kind that there is."""
    found = kinds.kinds_of(text, layers)
    counts = {kind: found.count(kind) for kind in dict.fromkeys(found) if kind != kinds.NONE}
    value_dim = first(text, "v_head_dim", most=10**6) or head_dim
    width = head_dim + value_dim
    caches = []
    for kind, count in counts.items():
        if kind == kinds.LATENT:
            rank, rope = first(text, "kv_lora_rank") or 0, first(text, "qk_rope_head_dim") or 0
            caches.append(Cache(kind, count, 1, rank + rope))
        elif kind == kinds.STATE:
            caches.append(_state(text, count))
        else:
            window = {
                kinds.WINDOW: kinds.window_of(text) or 0,
                kinds.CHUNK: first(text, "attention_chunk_size") or 0,
            }.get(kind, 0)
            caches.append(_attention(text, kind, count, heads, width, window))
    return tuple(caches)


def _attention(text: Mapping[str, Any], kind: str, count: int, heads: int, width: int, window: int) -> Cache:
    """Gemma 4 has wider and fewer heads in its full layers than in those with a window."""
    if kind == kinds.FULL and (wide := first(text, "global_head_dim", most=10**6)):
        return Cache(kind, count, first(text, "num_global_key_value_heads", most=10**6) or heads, 2 * wide)
    return Cache(kind, count, heads, width, window)


def _state(text: Mapping[str, Any], count: int) -> Cache:
    """Layers that keep one state for a sequence instead of something for each token."""
    wide = text.get("mamba_ssm_dtype") == "float32"
    hidden = first(text, "hidden_size") or 0
    if values := first(text, "linear_num_value_heads"):  # gated delta net
        keys = first(text, "linear_num_key_heads") or 0
        key_dim, value_dim = (
            first(text, "linear_key_head_dim") or 0,
            first(text, "linear_value_head_dim") or 0,
        )
        kernel = first(text, "linear_conv_kernel_dim") or 1
        conv = (2 * key_dim * keys + value_dim * values) * (kernel - 1)
        return Cache(kinds.STATE, count, conv=conv, state=values * value_dim * key_dim, wide_state=wide)
    kernel = first(text, "mamba_d_conv", "conv_kernel", "conv_L_cache") or 1
    size = first(text, "mamba_d_state", "ssm_state_size", "state_size") or 0
    expand = number(text.get("mamba_expand")) or number(text.get("expand")) or 2.0
    heads = first(text, "mamba_n_heads", "mamba_num_heads")
    if heads:  # the second Mamba
        head_dim = first(text, "mamba_d_head", "mamba_head_dim") or 0
        groups = first(text, "mamba_n_groups", "n_groups") or 1
        conv = (heads * head_dim + 2 * groups * size) * (kernel - 1)
        return Cache(kinds.STATE, count, conv=conv, state=heads * head_dim * size, wide_state=wide)
    inner = first(text, "intermediate_size") if text.get("model_type") in kinds.MAMBA else None
    inner = inner or first(text, "conv_dim") or int(min(expand, 1e3) * hidden)
    return Cache(kinds.STATE, count, conv=inner * (kernel - 1), state=inner * size, wide_state=wide)


def _kv_heads(text: Mapping[str, Any], heads: int) -> int:
    old_falcon = text.get("model_type") == "falcon" and not truth(text.get("new_decoder_architecture"))
    if old_falcon and truth(text.get("multi_query")):
        return 1
    names = (
        "n_head_kv",
        "num_kv_heads",
        "num_key_value_heads",
        "multi_query_group_num",
        "num_attention_groups",
    )
    inner = mapping(text.get("attn_config"))
    return first(text, *names, most=10**6) or first(inner, "kv_n_heads", most=10**6) or heads


def _context(text: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens that it was made for, and that an engine takes when nothing is said. As vLLM counts them."""
    told = [length for name in LENGTHS if (length := whole(text.get(name)))]
    context = min(told, default=FALLBACK)
    ropes = _ropes(text)
    factor = 1.0
    if "gemma3" not in str(text.get("model_type", "")):
        for rope in ropes:
            if rope.get("rope_type", rope.get("type")) not in ALREADY_SCALED:
                factor = number(rope.get("factor")) or factor
    context = max(int(min(context * factor, 10**12)), 1)
    original = first(text, "original_max_position_embeddings")
    is_long = any(rope.get("rope_type", rope.get("type")) in ("longrope", "su") for rope in ropes)
    return context, original if is_long and original else context


def _ropes(text: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """How positions are stretched: one set for all layers, or one for each kind of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        if rope := mapping(text.get(name)):
            inner = [mapping(one) for one in rope.values() if isinstance(one, Mapping)]
            return inner or [rope]
    return []


def _intermediate(text: Mapping[str, Any], hidden: int) -> int:
    told = text.get("intermediate_size")
    if isinstance(told, list):  # one for each layer
        told = max((width for one in told if (width := whole(one, most=10**8))), default=None)
    wide = whole(told, most=10**8) or first(text, "n_inner", "ffn_dim", "ffn_hidden_size", most=10**8)
    return wide or min(4 * hidden, 10**8)


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    for part in (config, text, mapping(config.get("vision_config"))):
        if (word := kinds.dtype_word(part)) in WIDTHS:
            return str(word)
    return "float32"
