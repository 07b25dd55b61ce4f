"""How a model's numbers were made smaller, from its config.json, and what each takes then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .values import first, mapping, truth

Scope = Literal["linear", "experts"]


@dataclass(frozen=True)
class Quantization:
    method: str  # as vLLM names it
    bits: float  # of one weight, scales and zero points included
    scope: Scope = "linear"  # what is quantised; embeddings and norms are not
    cache: str = ""  # the data type of the KV cache that comes with it, as `kv-cache-dtype` names it


# What vLLM does to a plain checkpoint when it is asked to.
ON_THE_FLY = {
    "fp8": 8.0,
    "fp8_per_tensor": 8.0,
    "fp8_per_block": 8.0,
    "bitsandbytes": 4.5,
    "experts_int8": 8.0,
    "mxfp8": 8.25,
    "int8_per_channel_weight_only": 8.0,
}


def quantization_of(config: Mapping[str, Any]) -> Quantization | None:
    """None for a model in plain numbers."""
    said = mapping(config.get("quantization_config")) or mapping(config.get("compression_config"))
    if not said:
        return None
    method = str(said.get("quant_method", "")).lower().replace("compressed_tensors", "compressed-tensors")
    group = first(said, "group_size", "q_group_size", most=10**6) or 128
    bits = first(said, "bits", "w_bit", "num_bits", most=32)
    match method:
        case "awq" | "gptq" | "auto-round" | "autoround" | "gptq_marlin" | "awq_marlin":
            return Quantization(method, _grouped(bits or 4, group))
        case "fp8" | "fbgemm_fp8" | "modelopt" | "quark":
            return Quantization(method, 8.0 + 32 / 128**2, cache=_cache(said))
        case "modelopt_fp4" | "nvfp4":
            return Quantization(method, 4.0 + 8 / 16, cache=_cache(said))
        case "mxfp4":
            return Quantization(method, 4.0 + 8 / 32, scope="experts")
        case "bitsandbytes":
            if truth(said.get("load_in_8bit")):
                return Quantization(method, 8.0)
            return Quantization(method, 4.127 if truth(said.get("bnb_4bit_use_double_quant")) else 4.5)
        case "compressed-tensors":
            return _compressed(said)
    if mapping(said.get("producer")).get("name") == "modelopt":
        return Quantization("modelopt", 8.0, cache=_cache(mapping(said.get("quantization"))))
    return Quantization(method or "unknown", float(bits or 8))


def _grouped(bits: int, group: int) -> float:
    """A scale of 16 bits and a zero point for each group of weights."""
    return bits + (16 + bits) / group


def _compressed(said: Mapping[str, Any]) -> Quantization:
    groups = [mapping(group) for group in mapping(said.get("config_groups")).values()]
    weights = [mapping(group.get("weights")) for group in groups]
    bits = [first(one, "num_bits", most=32) or 8 for one in weights]
    sizes = [first(one, "group_size", most=10**6) for one in weights]
    exact = [one + 16 / size if size else float(one) for one, size in zip(bits, sizes, strict=True)]
    scheme = mapping(said.get("kv_cache_scheme"))
    cache = "fp8" if first(scheme, "num_bits") == 8 else ""
    return Quantization("compressed-tensors", max(exact, default=8.0), cache=cache)


def _cache(said: Mapping[str, Any]) -> str:
    word = str(said.get("kv_cache_quant_algo", said.get("kv_cache_scheme", ""))).lower()
    return "fp8" if "fp8" in word else ""
