"""What of a configuration decides how much memory an engine takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from instances.vllm.command import CPU_CACHE
from instances.vllm.flags import canonical_flag

from .values import mapping, number, share, size, truth, whole

DEFAULT_SHARE = 0.92  # of a GPU, vLLM's own since 0.20
GIB = 2**30
RANKS_MOST = 1024
LARGE_GPU, VERY_LARGE_GPU = 70 * GIB, 160 * GIB
BLOCKS = {"cpu": 128, "cuda": 16}  # tokens of one block, where nobody chose
LATENT_BLOCKS = {"cpu": 16, "cuda": 64}


@dataclass(frozen=True)
class Settings:
    """Amounts are bytes and tokens; None is "as vLLM does it"."""

    accelerator: str = "cuda"  # or "cpu"
    context: int | None = None
    fits_itself: bool = False  # it takes the longest context that there is room for
    dtype: str = "auto"
    quantization: str = ""
    cache_dtype: str = "auto"
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    share: float = DEFAULT_SHARE
    cache_bytes: int | None = None  # a KV cache of a fixed size, for each rank
    block: int | None = None
    batched: int | None = None  # tokens of one step
    sequences: int | None = None  # at once
    eager: bool = False
    plain_windows: bool = False  # layers with a window keep everything
    offload: int = 0  # bytes of weights of each rank that stay in RAM
    in_flight: int = 2  # steps at once
    beyond_model: bool = False  # a context longer than the model's own is allowed
    guesses: bool = False  # speculative decoding: the layers for it are loaded
    gpus: tuple[str, ...] = ()  # as they were chosen, by index or name
    overrides: Mapping[str, Any] = field(default_factory=dict)  # of config.json
    device: int | None = None  # bytes of the smallest GPU: on large ones vLLM takes more at once

    @property
    def ranks(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def together(self) -> int:
        """Ranks that share one copy of the model."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def step(self) -> tuple[int, int]:
        """Tokens and sequences of one step at most, as vLLM sets them for the server."""
        if self.accelerator == "cpu":
            tokens, sequences = 2048 * self.together, 128 * self.together
        elif self.device is not None and self.device < LARGE_GPU:
            tokens, sequences = 2048, 256
        else:
            tokens, sequences = 16384 if self.device and self.device >= VERY_LARGE_GPU else 8192, 1024
        return self.batched or tokens, self.sequences or sequences


def settings_of(config: Mapping[str, Any], accelerator: str) -> Settings:
    """Of a configuration as a revision keeps it. What is odd in it counts as not said: others refuse it."""
    args = {canonical_flag(str(name)): value for name, value in mapping(config.get("args")).items()}
    env = mapping(config.get("env"))

    def ask(field_name: str, flag: str) -> Any:
        return config[field_name] if config.get(field_name) not in (None, "") else args.get(flag)

    context = ask("max_model_len", "max-model-len")
    cpu = accelerator == "cpu"
    found = Settings(
        accelerator="cpu" if cpu else "cuda",
        context=size(context),
        fits_itself=str(context).strip() in ("-1", "auto"),
        dtype=str(ask("dtype", "dtype") or "auto").strip().lower(),
        quantization=str(ask("quantization", "quantization") or "").strip().lower(),
        cache_dtype=str(args.get("kv-cache-dtype") or "auto").strip().lower(),
        tensor_parallel=_ranks(ask("tensor_parallel_size", "tensor-parallel-size")),
        pipeline_parallel=_ranks(args.get("pipeline-parallel-size")),
        data_parallel=_ranks(args.get("data-parallel-size")),
        share=share(ask("gpu_memory_utilization", "gpu-memory-utilization")) or DEFAULT_SHARE,
        cache_bytes=_cache_bytes(args, env, cpu),
        block=whole(args.get("block-size"), 1, 2**16),
        batched=size(args.get("max-num-batched-tokens")),
        sequences=size(args.get("max-num-seqs")),
        eager=truth(args.get("enforce-eager")) or args.get("enforce-eager") == "",
        plain_windows=truth(args.get("disable-hybrid-kv-cache-manager")),
        offload=int(min(number(args.get("cpu-offload-gb")) or 0.0, 10**5) * GIB),
        in_flight=1 if cpu or args.get("async-scheduling") is False else 2,
        beyond_model=truth(env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN")),
        guesses=bool(args.get("speculative-config")),
        gpus=tuple(str(gpu) for gpu in gpus) if isinstance(gpus := config.get("gpus"), list | tuple) else (),
        overrides=mapping(args.get("hf-overrides")),
    )
    return replace(found, dtype={"half": "float16", "float": "float32"}.get(found.dtype, found.dtype))


def _ranks(value: object) -> int:
    return whole(value, 1, RANKS_MOST) or 1


def _cache_bytes(args: Mapping[str, Any], env: Mapping[str, Any], cpu: bool) -> int | None:
    """On a CPU the environment wins over the flag, and we give a size where nobody did."""
    if cpu and (gib := whole(env.get("VLLM_CPU_KVCACHE_SPACE"), 1, 10**5)):
        return gib * GIB
    told = size(args.get("kv-cache-memory-bytes"))
    if told is None and cpu and "VLLM_CPU_KVCACHE_SPACE" not in env:
        return size(CPU_CACHE)
    return told
