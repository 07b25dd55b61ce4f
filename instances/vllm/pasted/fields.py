"""The flags that have fields of their own in a deploy, and what each of them can be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from instances.vllm.schema.values import size_of

DTYPES = {"half": "float16", "float": "float32"}
KNOWN_DTYPES = ("auto", "bfloat16", "float16", "float32")
WORD = re.compile(r"[A-Za-z0-9_.-]{1,50}")
SHARE = (0.05, 0.98)
MOST_GPUS = 64


class Wrong(ValueError):
    """A value that the field cannot have; carries a sentence."""


def _context(value: Any) -> int | None:
    text = str(value).strip()
    size = None if value is True else size_of(text.replace(",", ""))
    if size is not None and 1 <= size <= 100_000_000:
        return size
    if text.lower() in ("auto", "-1"):
        return None
    raise Wrong("The context is a whole number of tokens, or one like 32k (32,000) or 32K (32,768).")


def _share(value: Any) -> float:
    try:
        share = float(str(value).strip())
    except ValueError:
        share = -1.0
    if not SHARE[0] <= share <= SHARE[1]:
        raise Wrong(f"The share of GPU memory is from {SHARE[0]} to {SHARE[1]}.")
    return share


def _dtype(value: Any) -> str | None:
    word = str(value).strip().lower()
    word = DTYPES.get(word, word)
    if word not in KNOWN_DTYPES:
        raise Wrong(f"The data type is one of {', '.join(KNOWN_DTYPES)}.")
    return None if word == "auto" else word


def _ranks(value: Any) -> int:
    text = str(value).strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MOST_GPUS:
        raise Wrong(f"The number of GPUs to split over is a whole number from 1 to {MOST_GPUS}.")
    return int(text)


def _word(value: Any) -> str | None:
    text = str(value).strip()
    if value is True or not WORD.fullmatch(text):
        raise Wrong("This is one word of letters, digits and . _ -")
    return None if text.lower() in ("none", "null") else text


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("This is a switch, which takes no value.")
    return value


# vLLM's flag -> the key of a deploy's body, and what reads its value; None: as if it were not given
FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "dtype": ("dtype", _dtype),
    "max-model-len": ("max_model_len", _context),
    "gpu-memory-utilization": ("gpu_memory_utilization", _share),
    "tensor-parallel-size": ("tensor_parallel_size", _ranks),
    "quantization": ("quantization", _word),
    "trust-remote-code": ("trust_remote_code", _switch),
}
