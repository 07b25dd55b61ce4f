"""Well-known models as data: the shape in their config.json, and the sizes that are published or follow from it.

`bytes` is what the loaded model takes: the safetensors' `total_size`, or the hub's count of numbers times their
width. `token` was reckoned by hand from the shape: 2 (keys, values) x layers x KV heads x head width x 2 bytes,
or layers x (latent + rope) x 2 for those with a latent vector. `long` is the same once windows have moved on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    name: str
    config: dict[str, Any]
    bytes: int
    token: int
    long: int
    source: str


def _config(model_type: str, shape: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """Layers, width, heads, KV heads, inner width, vocabulary, context."""
    names: tuple[str, ...] = (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "num_key_value_heads",
    )
    names += ("intermediate_size", "vocab_size", "max_position_embeddings")
    return {
        "model_type": model_type,
        "torch_dtype": "bfloat16",
        **dict(zip(names, shape, strict=True)),
        **more,
    }


GEMMA_3 = {
    "model_type": "gemma3",
    "torch_dtype": "bfloat16",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "sliding_window": 1024,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    },
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
    },
}
LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}

KNOWN = (
    Known(
        "Qwen3-0.6B",
        _config("qwen3", (28, 1024, 16, 8, 3072, 151936, 40960), head_dim=128, tie_word_embeddings=True),
        2 * 596_049_920,  # the hub counts 751,632,384 with the head that is stored and not loaded
        114_688,
        114_688,
        "hub's count, less the tied head",
    ),
    Known(
        "Qwen3-8B",
        _config("qwen3", (36, 4096, 32, 8, 12288, 151936, 40960), head_dim=128),
        2 * 8_190_735_360,
        147_456,
        147_456,
        "hub's count",
    ),
    Known(
        "Qwen3-30B-A3B",
        _config(
            "qwen3_moe",
            (48, 2048, 32, 4, 6144, 151936, 40960),
            head_dim=128,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
            decoder_sparse_step=1,
            mlp_only_layers=[],
        ),
        2 * 30_532_122_624,
        98_304,
        98_304,
        "hub's count",
    ),
    Known(
        "Llama-3.1-8B",
        _config(
            "llama",
            (32, 4096, 32, 8, 14336, 128256, 131072),
            rope_scaling={"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
        ),
        2 * 8_030_261_248,  # vLLM logs 14.96 GiB
        131_072,
        131_072,
        "hub's count",
    ),
    Known(
        "Llama-3.1-70B",
        _config("llama", (80, 8192, 64, 8, 28672, 128256, 131072)),
        2 * 70_553_706_496,
        327_680,
        327_680,
        "hub's count",
    ),
    Known(
        "Llama-3.2-3B",
        _config("llama", (28, 3072, 24, 8, 8192, 128256, 131072), head_dim=128, tie_word_embeddings=True),
        2 * 3_212_749_824,
        114_688,
        114_688,
        "hub's count",
    ),
    Known(
        "Mistral-7B-v0.1",
        _config("mistral", (32, 4096, 32, 8, 14336, 32000, 32768), sliding_window=4096),
        2 * 7_241_732_096,
        131_072,
        0,
        "hub's count",
    ),
    Known(
        "Mistral-7B-v0.3",
        _config("mistral", (32, 4096, 32, 8, 14336, 32768, 32768), sliding_window=None),
        2 * 7_248_023_552,
        131_072,
        131_072,
        "hub's count",
    ),
    Known(
        "Mistral-Small-24B-2501",
        _config("mistral", (40, 5120, 32, 8, 32768, 131072, 32768), head_dim=128, sliding_window=None),
        2 * 23_572_403_200,
        163_840,
        163_840,
        "hub's count",
    ),
    Known(
        "Gemma-2-9B",
        _config("gemma2", (42, 3584, 16, 8, 14336, 256000, 8192), head_dim=256, sliding_window=4096),
        2 * 9_241_705_984,
        344_064,
        172_032,
        "hub's count",
    ),
    Known("Gemma-3-12B", GEMMA_3, 2 * 12_187_325_040, 393_216, 65_536, "hub's count"),
    Known(
        "DeepSeek-V2-Lite (MLA)",
        _config(
            "deepseek_v2",
            (27, 2048, 16, 16, 10944, 102400, 163840),
            **LATENT,
            q_lora_rank=None,
            n_routed_experts=64,
            n_shared_experts=2,
            num_experts_per_tok=6,
            moe_intermediate_size=1408,
            first_k_dense_replace=1,
        ),
        2 * 15_706_484_224,
        31_104,
        31_104,
        "hub's count",
    ),
    Known(
        "DeepSeek-V3 (MLA, fp8)",
        _config(
            "deepseek_v3",
            (61, 7168, 128, 128, 18432, 129280, 163840),
            **LATENT,
            q_lora_rank=1536,
            n_routed_experts=256,
            n_shared_experts=1,
            num_experts_per_tok=8,
            moe_intermediate_size=2048,
            first_k_dense_replace=3,
            num_nextn_predict_layers=1,
            quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]},
        ),
        671_026_419_200 + 2 * 129_280 * 7_168,  # a byte for each number; embedding and head take two
        70_272,
        70_272,
        "published 671.0 B numbers, without the layer for guessing",
    ),
    Known(
        "gpt-oss-20b (mxfp4)",
        _config(
            "gpt_oss",
            (24, 2880, 64, 8, 2880, 201088, 131072),
            head_dim=64,
            num_local_experts=32,
            num_experts_per_tok=4,
            sliding_window=128,
            quantization_config={"quant_method": "mxfp4"},
        ),
        13_761_264_768,
        49_152,
        24_576,
        "total_size; the model card says 12.8 GiB",
    ),
    Known(
        "gpt-oss-120b (mxfp4)",
        _config(
            "gpt_oss",
            (36, 2880, 64, 8, 2880, 201088, 131072),
            head_dim=64,
            num_local_experts=128,
            num_experts_per_tok=4,
            sliding_window=128,
            quantization_config={"quant_method": "mxfp4"},
        ),
        65_248_815_744,
        73_728,
        36_864,
        "total_size; the model card says 60.8 GiB",
    ),
    Known(
        "Phi-3-mini-4k",
        _config("phi3", (32, 3072, 32, 32, 8192, 32064, 4096), sliding_window=2047),
        2 * 3_821_079_552,
        393_216,
        0,
        "hub's count",
    ),
    Known(
        "Qwen2.5-7B-Instruct-AWQ",
        _config(
            "qwen2",
            (28, 3584, 28, 4, 18944, 152064, 32768),
            sliding_window=131072,
            use_sliding_window=False,
            max_window_layers=28,
            quantization_config={"quant_method": "awq", "bits": 4, "group_size": 128},
        ),
        5_570_000_000,
        57_344,
        57_344,
        "the two files: 3.99 and 1.58 GB",
    ),
    Known(
        "Llama-3.1-8B-FP8",
        _config(
            "llama",
            (32, 4096, 32, 8, 14336, 128256, 131072),
            quantization_config={
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
        ),
        9_081_400_000,
        131_072,
        131_072,
        "its files: 9.08 GB",
    ),
)
