"""Ready configurations for the deploy form, by slug. The first one needs neither a GPU nor the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Preset:
    """A configuration that was tried, with what a person needs to know before choosing it."""

    slug: str
    title: str | Promise
    model_shown: str | Promise
    summary: str | Promise
    size: str | Promise  # what it takes: of the weights in the data type that is served
    config: dict[str, Any] = field(default_factory=dict)  # keys of the deploy body


TINY_DEMO = "tiny-demo"

_ALL = (
    Preset(
        slug=TINY_DEMO,
        title=_("Tiny demo (no download, no GPU)"),
        model_shown=_("Ships with the console"),
        summary=_("A toy that answers greetings and small facts. Ready in about 10 seconds."),
        size=_("2 MB · on this disk"),
        config={
            "model": str(settings.DEMO_DIR / "tiny-chat"),
            "max_model_len": 1024,
            "args": {
                "enforce-eager": True,
                "distributed-executor-backend": "uni",
                "kv-cache-memory-bytes": "64M",
            },
            "env": {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        },
    ),
    Preset(
        slug="qwen3-0.6b",
        title="Qwen3 0.6B",
        model_shown="Qwen/Qwen3-0.6B",
        summary=_("The smallest Qwen3. Fast, and good for trying things out."),
        size=_("1.5 GB · GPU of 4 GB"),
        config={"model": "Qwen/Qwen3-0.6B", "max_model_len": 16384, "gpu_memory_utilization": 0.8},
    ),
    Preset(
        slug="qwen3-4b",
        title="Qwen3 4B",
        model_shown="Qwen/Qwen3-4B-Instruct-2507",
        summary=_("A capable small model for chat and tools."),
        size=_("8 GB · GPU of 12 GB"),
        config={
            "model": "Qwen/Qwen3-4B-Instruct-2507",
            "max_model_len": 16384,
            "gpu_memory_utilization": 0.9,
        },
    ),
    Preset(
        slug="qwen3-8b",
        title="Qwen3 8B",
        model_shown="Qwen/Qwen3-8B",
        summary=_("Thinks before it answers. A good first choice on one 24 GB card."),
        size=_("16 GB · GPU of 24 GB"),
        config={"model": "Qwen/Qwen3-8B", "max_model_len": 16384, "gpu_memory_utilization": 0.9},
    ),
    Preset(
        slug="qwen3-14b",
        title="Qwen3 14B",
        model_shown="Qwen/Qwen3-14B",
        summary=_("Stronger at reasoning and code, at half the speed of the 8B."),
        size=_("30 GB · GPU of 48 GB"),
        config={"model": "Qwen/Qwen3-14B", "max_model_len": 32768, "gpu_memory_utilization": 0.9},
    ),
    Preset(
        slug="llama-3.2-3b",
        title="Llama 3.2 3B",
        model_shown="meta-llama/Llama-3.2-3B-Instruct",
        summary=_("Meta's small model. Accept its licence on the hub and set HF_TOKEN first."),
        size=_("6.5 GB · GPU of 12 GB"),
        config={
            "model": "meta-llama/Llama-3.2-3B-Instruct",
            "max_model_len": 16384,
            "gpu_memory_utilization": 0.9,
        },
    ),
    Preset(
        slug="llama-3.1-8b",
        title="Llama 3.1 8B",
        model_shown="meta-llama/Llama-3.1-8B-Instruct",
        summary=_("Widely used. Accept its licence on the hub and set HF_TOKEN first."),
        size=_("16 GB · GPU of 24 GB"),
        config={
            "model": "meta-llama/Llama-3.1-8B-Instruct",
            "max_model_len": 16384,
            "gpu_memory_utilization": 0.9,
        },
    ),
    Preset(
        slug="mistral-7b",
        title="Mistral 7B v0.3",
        model_shown="mistralai/Mistral-7B-Instruct-v0.3",
        summary=_("A solid older model, free to use. Good in French, German and Spanish."),
        size=_("14.5 GB · GPU of 24 GB"),
        config={
            "model": "mistralai/Mistral-7B-Instruct-v0.3",
            "max_model_len": 16384,
            "gpu_memory_utilization": 0.9,
        },
    ),
    Preset(
        slug="mistral-small-24b",
        title="Mistral Small 3.2 24B",
        model_shown="mistralai/Mistral-Small-3.2-24B-Instruct-2506",
        summary=_("The strongest here, reads images too."),
        size=_("48 GB · GPU of 80 GB"),
        config={
            "model": "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
            "max_model_len": 32768,
            "gpu_memory_utilization": 0.9,
            "args": {"tokenizer-mode": "mistral", "config-format": "mistral", "load-format": "mistral"},
        },
    ),
)

PRESETS = {preset.slug: preset for preset in _ALL}
