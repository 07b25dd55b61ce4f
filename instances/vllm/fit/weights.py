"""What a model's weights take once they are loaded, which is not always what they take on the disk."""

from __future__ import annotations

from dataclasses import dataclass

from .architecture import WIDTHS, Facts
from .parameters import parameters_of
from .quantization import ON_THE_FLY
from .settings import Settings
from .tensors import FILE, FLOATS, Tensors
from .values import up

STORED = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Weights:
    bytes: int  # of the whole model
    parameters: int
    known: bool  # from the weights themselves, not derived from the shape


def serving_dtype(facts: Facts, settings: Settings) -> str:
    """As vLLM chooses it: a checkpoint in float32 is served in bfloat16 unless float32 is asked for."""
    if settings.dtype in WIDTHS:
        return settings.dtype
    return "bfloat16" if facts.dtype not in ("float16", "half", "bfloat16") else facts.dtype


def weights_of(facts: Facts, tensors: Tensors | None, settings: Settings) -> Weights:
    """Of the whole model, in the data type and the quantisation in which it will be served."""
    width = WIDTHS[serving_dtype(facts, settings)]
    counted = parameters_of(facts)
    if tensors is not None:
        loaded = tensors if settings.guesses else tensors.without(_spare(facts, tensors))
        size = _loaded(facts, loaded, width)
        parameters = tensors.parameters or counted.loaded
    else:
        size = None
        parameters = counted.loaded
    known = size is not None
    if size is None:
        size = _derived(facts, width)
    if facts.quantization is None and (bits := ON_THE_FLY.get(settings.quantization)):
        plain = min(counted.plain * width, size)
        share = counted.experts / max(counted.linear + counted.experts, 1)
        small = (size - plain) if settings.quantization != "experts_int8" else int((size - plain) * share)
        size -= small - int(small * bits / 8 / width)
    return Weights(size, parameters, known)


def per_gpu(weights: Weights, facts: Facts, settings: Settings) -> int:
    """The share of one GPU: the largest, since a pipeline may not come out even.

    Heads of keys are repeated where there are more ranks than heads.
    """
    tensor, pipeline = settings.tensor_parallel, settings.pipeline_parallel
    size = up(weights.bytes, tensor)
    if tensor > facts.kv_heads and not facts.quantization:
        width = WIDTHS[serving_dtype(facts, settings)]
        keys = 2 * facts.layers * facts.hidden * facts.kv_heads * facts.head_dim * width
        size += max(keys // facts.kv_heads - keys // tensor, 0)
    if pipeline > 1:
        size = up(size * up(facts.layers, pipeline), facts.layers)
    return max(size - settings.offload, 0)


def _spare(facts: Facts, tensors: Tensors) -> int:
    """Bytes that are on the disk and never loaded: layers for guessing, a head that is the embedding too."""
    if tensors.by_layer:
        spare = sum(size for layer, size in tensors.by_layer.items() if layer >= facts.layers)
    else:
        counted = parameters_of(facts)
        spare = tensors.bytes * counted.spare // max(counted.loaded + counted.spare, 1)
    return spare + (tensors.head if facts.tied else 0)


def _loaded(facts: Facts, tensors: Tensors, width: int) -> int:
    """Floats come in the served type; in a quantised model, what is still float32 (scales) stays so."""
    size = 0
    for dtype, stored in tensors.by_dtype.items():
        if dtype == FILE and facts.quantization is None:
            size += stored * width // WIDTHS.get(facts.dtype, width)
        elif dtype in FLOATS and not (facts.quantization and dtype == "F32"):
            size += stored * width // STORED[dtype]
        else:
            size += stored
    return size


def _derived(facts: Facts, width: int) -> int:
    counted = parameters_of(facts)
    if facts.quantization is None:
        return counted.loaded * width
    if facts.quantization.scope == "experts":
        return (counted.plain + counted.linear) * width + int(counted.experts * facts.quantization.bits / 8)
    small = counted.linear + counted.experts
    return counted.plain * width + int(small * facts.quantization.bits / 8)
