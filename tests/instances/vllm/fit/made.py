"""Models, GPUs and headers as the tests of this folder need them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from instances.vllm.fit.room import Holder, Place, Room

GIB = 2**30

QWEN3_8B = {
    "model_type": "qwen3",
    "torch_dtype": "bfloat16",
    "num_hidden_layers": 36,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 12288,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
}


def gpu(index: int = 0, total: float = 24, held: float = 0) -> Place:
    """A GPU of so many GiB, of which somebody holds some."""
    holders = (Holder("coder", int(held * GIB)),) if held else ()
    return Place(
        f"GPU {index}", int(total * GIB), int((total - held) * GIB), holders, index, f"GPU-uuid-{index}"
    )


def gpus(*places: Place) -> Room:
    return Room(places or (gpu(),))


def ram(total: float = 32, free: float = 24) -> Room:
    return Room((Place("RAM", int(total * GIB), int(free * GIB)),))


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, 0]}


def write_safetensors(path: Path, header: dict[str, Any]) -> None:
    """The header alone: the data behind it is never read."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
