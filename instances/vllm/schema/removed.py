"""Flags and environment names that older versions of vLLM had: what stands in their place, and how to get there.

The table speaks only where an engine's own flags lack the name. Sources: the release notes and pull requests
of vLLM, its deprecation messages, and the parser of 0.32.0 for what is there today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Args = Mapping[str, Any]
Replace = Callable[
    [Any, Args], Args | None
]  # (its value, all flags given) -> flags in its place; None: by hand


@dataclass(frozen=True)
class Removed:
    """A name that is gone. `instead` is a sentence; `replace` gives an empty mapping where nothing is needed."""

    instead: str
    since: str = ""  # the first version without it, where that is known
    replace: Replace | None = None


def _nothing(_value: Any, _args: Args) -> Args:
    return {}


def _renamed(name: str) -> Replace:
    return lambda value, _args: {name: value}


def _inside(name: str, key: str, value_of: Callable[[Any], Any] = lambda value: value) -> Replace:
    """Now a key of a JSON flag; what that flag has already stays."""

    def replace(value: Any, args: Args) -> Args:
        config = _mapping(args.get(name))
        return {name: {**config, key: value_of(value)}}

    return replace


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}


def _number(value: Any) -> Any:
    text = str(value).strip()
    return int(text) if text.isdecimal() else value


def _task(value: Any, _args: Args) -> Args | None:
    return TASKS.get(str(value))


def _cuda_graph_sizes(value: Any, _args: Args) -> Args:
    sizes = value if isinstance(value, list) else str(value).replace(",", " ").split()
    numbers = [_number(size) for size in sizes]
    if len(numbers) == 1:  # one number was the largest batch
        return {"max-cudagraph-capture-size": numbers[0]}
    return {"cudagraph-capture-sizes": numbers}


def _draft(_value: Any, args: Args) -> Args | None:
    """The separate flags of speculative decoding as the one that holds them all; each of them gives the same."""
    config = _mapping(args.get("speculative-config"))
    for name, key in SPECULATION.items():
        if name in args:
            config[key] = _number(args[name])
    if config.get("model") in ("[ngram]", "ngram"):
        del config["model"]
        config["method"] = "ngram"
    return {"speculative-config": config} if config.get("model") or config.get("method") else None


def _rope(_value: Any, args: Args) -> Args | None:
    """Only both together: what stands in rope_parameters replaces all of the model's, its theta too."""
    scaling = _mapping(args.get("rope-scaling"))
    theta = _float(args.get("rope-theta"))
    if not scaling or theta is None:
        return None
    kind = scaling.pop("type", None)
    parameters = {"rope_type": kind, **scaling} if kind else scaling
    return {
        "hf-overrides": {
            **_mapping(args.get("hf-overrides")),
            "rope_parameters": {"rope_theta": theta, **parameters},
        }
    }


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _encoder(_value: Any, _args: Args) -> Args:
    return {"mm-encoder-tp-mode": "data"}


def _no_cache(_value: Any, _args: Args) -> Args:
    return {"mm-processor-cache-gb": 0}


POOLING = {"runner": "pooling"}
TASKS: dict[str, Args] = {
    "auto": {},
    "generate": {"runner": "generate"},
    "transcription": {"runner": "generate"},
    "embed": {**POOLING, "convert": "embed"},
    "embedding": {**POOLING, "convert": "embed"},
    "classify": {**POOLING, "convert": "classify"},
    "score": {**POOLING, "convert": "classify"},
    "reward": POOLING,
    "draft": {"runner": "draft"},
}
SPECULATION = {
    "speculative-model": "model",
    "num-speculative-tokens": "num_speculative_tokens",
    "speculative-draft-tensor-parallel-size": "draft_tensor_parallel_size",
    "speculative-model-quantization": "quantization",
    "speculative-max-model-len": "max_model_len",
    "ngram-prompt-lookup-max": "prompt_lookup_max",
    "ngram-prompt-lookup-min": "prompt_lookup_min",
}

_STRUCTURED = "structured-outputs-config"
_DRAFTS = Removed(
    "Speculative decoding is one flag now: --speculative-config with the draft's settings as JSON.",
    replace=_draft,
)
_ACCEPTANCE = Removed("Nothing stands in its place. Leave it out.", replace=_nothing)
_STEPS = Removed("Several steps at once belonged to an older engine. Leave it out.", replace=_nothing)
_ADAPTERS = Removed("Prompt adapters are gone. LoRA (--enable-lora) is what vLLM has for adapters.")
_TOKENIZERS = Removed(
    "Tokenizer pools are gone; vLLM tokenizes without them. Leave it out.", replace=_nothing
)
_PREFILLS = Removed("Several partial prefills at once are gone. Leave it out.", replace=_nothing)

_ROPE = Removed(
    'It is in --hf-overrides now: {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000000.0}}. '
    "It replaces all of the model's, so its rope_theta has to stand there too.",
    replace=_rope,
)

REMOVED: dict[str, Removed] = {
    "swap-space": Removed("vLLM no longer moves requests to RAM. Leave it out.", "0.18.0", _nothing),
    "device": Removed(
        "The engine knows its device by its build; GPUs are chosen in the field gpus. Leave it out.",
        "0.10.0",
        _nothing,
    ),
    "task": Removed(
        "--runner pooling with --convert embed or classify stand in its place; for text nothing is needed.",
        replace=_task,
    ),
    "enable-reasoning": Removed("--reasoning-parser alone switches reasoning on.", replace=_nothing),
    "reasoning-backend": Removed("It is --reasoning-parser now.", replace=_renamed("reasoning-parser")),
    "disable-log-requests": Removed(
        "Requests are not logged unless --enable-log-requests is given. Leave it out.", replace=_nothing
    ),
    "rope-scaling": _ROPE,
    "rope-theta": _ROPE,
    "guided-decoding-backend": Removed(
        'It is a key of --structured-outputs-config now: {"backend": ...}.',
        replace=_inside(_STRUCTURED, "backend"),
    ),
    "guided-decoding-disable-any-whitespace": Removed(
        'It is a key of --structured-outputs-config now: {"disable_any_whitespace": true}.',
        replace=_inside(_STRUCTURED, "disable_any_whitespace"),
    ),
    "guided-decoding-disable-additional-properties": Removed(
        'It is a key of --structured-outputs-config now: {"disable_additional_properties": true}.',
        replace=_inside(_STRUCTURED, "disable_additional_properties"),
    ),
    "guided-decoding-disable-fallback": Removed(
        "Nothing stands in its place. Leave it out.", replace=_nothing
    ),
    "max-seq-len-to-capture": Removed(
        "CUDA graphs are captured by batch size: --max-cudagraph-capture-size. Leave it out.",
        replace=_nothing,
    ),
    "max-context-len-to-capture": Removed(
        "CUDA graphs are captured by batch size: --max-cudagraph-capture-size. Leave it out.",
        replace=_nothing,
    ),
    "cuda-graph-sizes": Removed(
        "It is --cudagraph-capture-sizes now; one number alone is --max-cudagraph-capture-size.",
        replace=_cuda_graph_sizes,
    ),
    "num-scheduler-steps": _STEPS,
    "multi-step-stream-outputs": _STEPS,
    "num-lookahead-slots": Removed("Nothing stands in its place. Leave it out.", replace=_nothing),
    "use-v2-block-manager": Removed("There is one block manager only. Leave it out.", replace=_nothing),
    "preemption-mode": Removed("Preempted requests are computed again. Leave it out.", replace=_nothing),
    "scheduler-delay-factor": Removed("Nothing stands in its place. Leave it out.", replace=_nothing),
    "disable-async-output-proc": Removed("Nothing stands in its place. Leave it out.", replace=_nothing),
    "disable-frontend-multiprocessing": Removed(
        "Nothing stands in its place. Leave it out.", replace=_nothing
    ),
    "worker-use-ray": Removed("Ray is not used here. Leave it out.", replace=_nothing),
    "engine-use-ray": Removed("Ray is not used here. Leave it out.", replace=_nothing),
    "speculative-model": _DRAFTS,
    "num-speculative-tokens": _DRAFTS,
    "speculative-draft-tensor-parallel-size": _DRAFTS,
    "speculative-model-quantization": _DRAFTS,
    "speculative-max-model-len": _DRAFTS,
    "ngram-prompt-lookup-max": _DRAFTS,
    "ngram-prompt-lookup-min": _DRAFTS,
    "speculative-disable-by-batch-size": Removed(
        "--speculative-config can give a number of tokens by batch size: num_speculative_tokens_per_batch_size."
    ),
    "speculative-disable-mqa-scorer": _ACCEPTANCE,
    "spec-decoding-acceptance-method": _ACCEPTANCE,
    "typical-acceptance-sampler-posterior-threshold": _ACCEPTANCE,
    "typical-acceptance-sampler-posterior-alpha": _ACCEPTANCE,
    "disable-logprobs-during-spec-decoding": _ACCEPTANCE,
    "qlora-adapter-name-or-path": Removed("Adapters are given with --lora-modules."),
    "enable-prompt-adapter": _ADAPTERS,
    "prompt-adapters": _ADAPTERS,
    "max-prompt-adapters": _ADAPTERS,
    "max-prompt-adapter-token": _ADAPTERS,
    "lora-extra-vocab-size": Removed("Adapters can no longer add words. Leave it out.", replace=_nothing),
    "long-lora-scaling-factors": Removed("Long LoRA is gone. Leave it out."),
    "enable-lora-bias": Removed("Biases of adapters are gone. Leave it out."),
    "override-neuron-config": Removed(
        "Neuron devices are served by a plug-in of their own, not by this build."
    ),
    "override-pooler-config": Removed("It is --pooler-config now.", replace=_renamed("pooler-config")),
    "quantization-param-path": Removed("Nothing stands in its place. Leave it out."),
    "calculate-kv-scales": Removed("Nothing stands in its place. Leave it out.", replace=_nothing),
    "max-num-partial-prefills": _PREFILLS,
    "max-long-partial-prefills": _PREFILLS,
    "enable-multimodal-encoder-data-parallel": Removed(
        "It is --mm-encoder-tp-mode data now.", replace=_encoder
    ),
    "disable-mm-preprocessor-cache": Removed("It is --mm-processor-cache-gb 0 now.", replace=_no_cache),
    "tokenizer-pool-size": _TOKENIZERS,
    "tokenizer-pool-type": _TOKENIZERS,
    "tokenizer-pool-extra-config": _TOKENIZERS,
    "num-redundant-experts": Removed(
        'It is a key of --eplb-config now: {"num_redundant_experts": ...}.',
        replace=_inside("eplb-config", "num_redundant_experts", _number),
    ),
    "eplb-window-size": Removed(
        'It is a key of --eplb-config now: {"window_size": ...}.',
        replace=_inside("eplb-config", "window_size", _number),
    ),
    "eplb-step-interval": Removed(
        'It is a key of --eplb-config now: {"step_interval": ...}.',
        replace=_inside("eplb-config", "step_interval", _number),
    ),
    "eplb-log-balancedness": Removed(
        'It is a key of --eplb-config now: {"log_balancedness": true}.',
        replace=_inside("eplb-config", "log_balancedness"),
    ),
    "enable-microbatching": Removed("It is --enable-dbo now.", replace=_renamed("enable-dbo")),
    "logits-processor-pattern": Removed("Requests can no longer name logits processors. Leave it out."),
}

REMOVED_ENVIRONMENT: dict[str, Removed] = {
    "VLLM_USE_V1": Removed("There is one engine only, V1. Leave it out.", replace=_nothing),
    "VLLM_ATTENTION_BACKEND": Removed(
        "It is the flag --attention-backend now.", replace=lambda value, _args: {"attention-backend": value}
    ),
    "VLLM_FLASH_ATTN_VERSION": Removed(
        'It is a key of --attention-config now: {"flash_attn_version": ...}.',
        replace=_inside("attention-config", "flash_attn_version", _number),
    ),
    "VLLM_RPC_TIMEOUT": Removed("Nothing reads it any more. Leave it out.", replace=_nothing),
    "VLLM_SLEEP_WHEN_IDLE": Removed("Nothing reads it any more. Leave it out.", replace=_nothing),
    "VLLM_USE_FLASHINFER_MOE_FP4": Removed("The flag --moe-backend chooses the kernels now."),
    "VLLM_NVFP4_GEMM_BACKEND": Removed("The flag --linear-backend chooses the kernels now."),
    "VLLM_TEST_FORCE_FP8_MARLIN": Removed("--linear-backend marlin and --moe-backend marlin choose it now."),
}
