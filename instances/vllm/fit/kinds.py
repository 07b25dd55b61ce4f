"""Which kind of attention each layer of a model has, from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .values import first, mapping, truth, whole, words

FULL, WINDOW, CHUNK, LATENT, STATE, NONE = "full", "window", "chunk", "latent", "state", "none"

# What models leave unsaid, because their own code knows it. Facts of the model types.
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"vocab_size": 32000, "max_position_embeddings": 2048},
    "mistral": {"sliding_window": 4096, "num_key_value_heads": 8, "max_position_embeddings": 131072},
    "gemma": {"head_dim": 256, "tie_word_embeddings": True, "vocab_size": 256000},
    "gemma2": {"head_dim": 256, "tie_word_embeddings": True, "sliding_window": 4096, "vocab_size": 256000},
    "gemma3": {"tie_word_embeddings": True},
    "gemma3_text": {
        **{"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8},
        **{"num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208, "sliding_window": 4096},
        **{"max_position_embeddings": 131072, "tie_word_embeddings": True},
    },
    "gemma3n_text": {
        **{"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "sliding_window": 512},
        **{"num_kv_shared_layers": 15, "tie_word_embeddings": True, "max_position_embeddings": 32768},
    },
    "gpt_oss": {"sliding_window": 128, "head_dim": 64, "max_position_embeddings": 131072},
    "cohere": {"tie_word_embeddings": True},
    "cohere2": {"tie_word_embeddings": True, "sliding_window": 4096},
    "starcoder2": {"tie_word_embeddings": True},
    "smollm3": {"tie_word_embeddings": True, "max_position_embeddings": 32768},
    "exaone4": {"sliding_window": 4096},
    "olmo3": {"sliding_window": 4096},
    "llama4_text": {"attention_chunk_size": 8192, "head_dim": 128, "max_position_embeddings": 131072},
    "ministral": {"sliding_window": 4096},
}
EVERY = {"gemma2": 2, "gpt_oss": 2, "gemma3_text": 6, "cohere2": 4, "exaone4": 4, "olmo3": 4}  # nth is full
OWN_SWITCH = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe")  # `use_sliding_window` decides, and is off
# Those of the types with a latent vector for which vLLM keeps it; for others it keeps keys and values.
LATENTS = frozenset(
    (
        *("axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots3_note", "glm5_next", "glm5_next_text"),
        *("glm_moe_dsa", "glm4_moe_lite", "kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe"),
        *("bailing_hybrid", "hy_v4"),
    )
)
MAMBA = frozenset(("mamba", "mamba2", "falcon_mamba"))
ENCODERS = frozenset(
    (
        *("bert", "roberta", "xlm-roberta", "distilbert", "modernbert", "nomic_bert", "new", "gte", "mpnet"),
        *("deberta", "deberta-v2", "electra", "albert", "camembert", "jina_bert_v2", "eurobert", "ernie"),
    )
)
KINDS = {
    "full_attention": FULL,
    "attention": FULL,
    "sliding_attention": WINDOW,
    "chunked_attention": CHUNK,
    "linear_attention": STATE,
    "mamba": STATE,
    "mamba2": STATE,
    "conv": STATE,
    "hybrid": FULL,
}
LAYERS_MOST = 2_000


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part that describes the text model, with what its type leaves unsaid."""
    outer = dict(config)
    for name in ("text_config", "llm_config", "language_config", "thinker_config"):
        inner = mapping(config.get(name))
        if name == "thinker_config":
            inner = mapping(inner.get("text_config"))
        if inner:
            kept = {
                key: config[key] for key in ("tie_word_embeddings", "quantization_config") if key in config
            }
            outer = {**kept, "dtype": dtype_word(config), **inner}
            break
    model_type = str(outer.get("model_type", ""))
    said = {key: value for key, value in outer.items() if value is not None or key == "sliding_window"}
    return {**DEFAULTS.get(model_type, {}), **said, "model_type": model_type}


def dtype_word(config: Mapping[str, Any]) -> str | None:
    """The data type that a config names, if it does: `torch_dtype` is what it was called before."""
    for name in ("dtype", "torch_dtype"):
        if isinstance(word := config.get(name), str):
            return word.removeprefix("torch.")
    return None


def window_of(text: Mapping[str, Any]) -> int | None:
    """Tokens that a layer with a window looks back."""
    model_type = text.get("model_type")
    if model_type in OWN_SWITCH and not truth(text.get("use_sliding_window")):
        return None
    window = first(text, "sliding_window", "sliding_window_size")
    return window + 1 if window and model_type == "cohere2" else window


def is_latent(text: Mapping[str, Any]) -> bool:
    """Whether one short vector stands for the keys and values of all heads."""
    return text.get("model_type") in LATENTS and first(text, "kv_lora_rank") is not None


def kinds_of(text: Mapping[str, Any], layers: int) -> list[str]:
    """The kind of every layer, those left out that share the cache of another one."""
    window = window_of(text)
    usual = LATENT if is_latent(text) else FULL
    if text.get("model_type") in MAMBA:
        return [STATE] * layers
    kinds = _listed(text, layers, usual) or _patterned(text, layers, window, usual)
    if window is None:
        kinds = [usual if kind == WINDOW else kind for kind in kinds]
    if first(text, "attention_chunk_size") is None:
        kinds = [usual if kind == CHUNK else kind for kind in kinds]
    shared = whole(text.get("num_kv_shared_layers"), 0, layers) or 0
    return kinds[: layers - shared]


def _listed(text: Mapping[str, Any], layers: int, usual: str) -> list[str]:
    """As the config lists them."""
    if pattern := text.get("hybrid_override_pattern"):  # Nemotron-H: a letter for each layer
        letters = {"M": STATE, "*": FULL}
        return [letters.get(letter, NONE) for letter in str(pattern)[:layers]]
    listed = words(text.get("layer_types")) or words(text.get("layers_block_type"))
    if len(listed) >= layers:
        kinds = [KINDS.get(word, usual) for word in listed[:layers]]
        return [usual if kind == FULL else kind for kind in kinds]
    return []


def _patterned(text: Mapping[str, Any], layers: int, window: int | None, usual: str) -> list[str]:
    """As the model's type has them, where the config lists nothing."""
    model_type = str(text.get("model_type", ""))
    if model_type in OWN_SWITCH:
        begin = whole(text.get("max_window_layers"), 0) or 0
        return [WINDOW if index >= begin else usual for index in range(layers)]
    if every := EVERY.get(model_type) and (first(text, "sliding_window_pattern") or EVERY[model_type]):
        return [WINDOW if (index + 1) % every else usual for index in range(layers)]
    if model_type == "llama4_text":
        return [CHUNK if (index + 1) % 4 else usual for index in range(layers)]
    if (period := first(text, "attn_layer_period")) and first(text, "mamba_d_state"):  # Jamba
        offset = whole(text.get("attn_layer_offset"), 0) or 0
        return [usual if index % period == offset % period else STATE for index in range(layers)]
    if period := first(text, "full_attention_interval"):  # Qwen3-Next
        return [STATE if (index + 1) % period else usual for index in range(layers)]
    if isinstance(indices := text.get("attn_layer_indices"), list):  # Bamba
        return [usual if index in indices else STATE for index in range(layers)]
    return [WINDOW if window else usual] * layers
