from __future__ import annotations

from typing import Any

import pytest

from instances.vllm.fit.settings import Settings, settings_of

MIB, GIB = 2**20, 2**30


def test_fields_and_flags_are_read() -> None:
    found = settings_of(
        {
            "dtype": "float16",
            "max_model_len": 8192,
            "gpu_memory_utilization": 0.5,
            "tensor_parallel_size": 2,
            "gpus": ["0", "1"],
            "args": {
                "kv_cache_dtype": "fp8",
                "max-num-batched-tokens": "4K",
                "max-num-seqs": 7,
                "enforce-eager": True,
                "pipeline-parallel-size": "3",
                "disable-hybrid-kv-cache-manager": True,
                "cpu-offload-gb": 4,
                "hf-overrides": {"rope_scaling": {"factor": 2}},
            },
        },
        "cuda",
    )
    assert found == Settings(
        context=8192,
        dtype="float16",
        cache_dtype="fp8",
        tensor_parallel=2,
        pipeline_parallel=3,
        share=0.5,
        batched=4096,
        sequences=7,
        eager=True,
        plain_windows=True,
        offload=4 * GIB,
        gpus=("0", "1"),
        overrides={"rope_scaling": {"factor": 2}},
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, GIB),
        ({"args": {"kv-cache-memory-bytes": "64M"}}, 64 * MIB),
        ({"args": {"kv-cache-memory-bytes": "64m"}}, 64_000_000),
        ({"args": {"kv-cache-memory-bytes": 12345}}, 12345),
        ({"args": {"kv-cache-memory-bytes": "64M"}, "env": {"VLLM_CPU_KVCACHE_SPACE": "2"}}, 2 * GIB),
        ({"env": {"VLLM_CPU_KVCACHE_SPACE": "odd"}}, None),
    ],
)
def test_a_cpu_engine_gets_a_cache_of_a_fixed_size(config: dict[str, Any], expected: int | None) -> None:
    assert settings_of(config, "cpu").cache_bytes == expected


def test_a_gpu_engine_takes_a_share() -> None:
    assert settings_of({}, "cuda").cache_bytes is None
    assert settings_of({}, "cuda").share == 0.92


@pytest.mark.parametrize("asked", [-1, "-1", "auto"])
def test_a_context_may_be_left_to_the_engine(asked: object) -> None:
    found = settings_of({"args": {"max-model-len": asked}}, "cuda")
    assert found.fits_itself and found.context is None


@pytest.mark.parametrize(
    ("accelerator", "device", "step"),
    [
        ("cpu", None, (2048, 128)),
        ("cuda", 24 * GIB, (2048, 256)),
        ("cuda", 80 * GIB, (8192, 1024)),
        ("cuda", 180 * GIB, (16384, 1024)),
    ],
)
def test_the_size_of_a_step_is_vllms_own(accelerator: str, device: int | None, step: tuple[int, int]) -> None:
    assert Settings(accelerator=accelerator, device=device).step == step
