"""Runs on an engine's Python: makes tiny models, or loads one and says what its weights take.

`python fit_engine.py make FOLDER` and `python fit_engine.py load FOLDER CONTEXT CACHE`; vLLM's own log goes to stdout.
"""

import json
import os
import sys
from pathlib import Path

# The shape in Transformers' words. Different grouping of heads, context, tying, and one with windows.
SHAPES = {
    "llama-gqa4": {
        **{"model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4},
        **{"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 4096},
        **{"max_position_embeddings": 1024, "tie_word_embeddings": False},
    },
    "qwen3-mha-tied": {
        **{"model_type": "qwen3", "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3},
        **{"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 8192},
        **{"max_position_embeddings": 512, "tie_word_embeddings": True},
    },
    "gemma2-mqa-windows": {
        **{"model_type": "gemma2", "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6},
        **{"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 4096},
        **{"max_position_embeddings": 8192, "sliding_window": 1024},
    },
}


def make(folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for name, shape in SHAPES.items():
        kind = str(shape["model_type"])
        config = AutoConfig.for_model(
            kind, **{key: value for key, value in shape.items() if key != "model_type"}
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder / name)


def taken(model: object) -> int:
    """Bytes of its weights, each storage once: a tied head is the embedding."""
    found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in model.parameters()}  # type: ignore[attr-defined]
    return sum(found.values())


def load(folder: Path, context: int, cache: str) -> None:
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    from vllm import LLM  # type: ignore[import-not-found]
    from vllm.model_executor.model_loader import base_loader  # type: ignore[import-not-found]

    packed = base_loader.process_weights_after_loading

    def measured(model: object, *more: object) -> None:
        """Before the engine packs them for the processor (on AMX, out of sight of its parameters)."""
        print("MEASURED " + json.dumps({"weights": taken(model)}), flush=True)
        packed(model, *more)

    base_loader.process_weights_after_loading = measured
    LLM(
        str(folder),
        skip_tokenizer_init=True,
        max_model_len=context,
        enforce_eager=True,
        distributed_executor_backend="uni",
        kv_cache_memory_bytes=int(cache),
        max_num_batched_tokens=2048,  # as the server takes
    )
    os._exit(0)  # nothing here is worth the engine's long goodbye


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        load(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
