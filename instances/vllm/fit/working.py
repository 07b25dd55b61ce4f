"""An allowance for what an engine takes beside weights and KV cache.

Of all our numbers these are the least certain: kernels and versions differ. They were set by what vLLM printed
at real starts (Llama 3 8B on one and on two H100: 1.3 GiB of activations, 1.8 and 3.6 GiB outside of PyTorch).
"""

from __future__ import annotations

from dataclasses import dataclass

from .architecture import WIDTHS, Facts
from .settings import GIB, Settings
from .weights import serving_dtype

MIB = 2**20
CONTEXT = 700 * MIB  # CUDA's own, for each process and GPU
TALKING = GIB  # NCCL's buffers, when GPUs work together
GRAPHS_OF_A_LAYER = 16 * MIB
PROCESS = 900 * MIB  # a CPU engine: its programs, and a first step
RANK = 450 * MIB  # each process more
COMPILED = 300 * MIB


@dataclass(frozen=True)
class Working:
    """Bytes on each GPU, or of the whole engine in RAM."""

    activations: int
    graphs: int
    context: int

    @property
    def bytes(self) -> int:
        return self.activations + self.graphs + self.context


def working_of(facts: Facts, settings: Settings, context: int) -> Working:
    if settings.accelerator == "cpu":
        process = PROCESS + RANK * (settings.ranks - 1) + (0 if settings.eager else COMPILED)
        return Working(_activations(facts, settings, context), 0, process)
    graphs = 0 if settings.eager else GRAPHS_OF_A_LAYER * facts.layers // settings.pipeline_parallel
    outside = CONTEXT + (TALKING if settings.together > 1 else 0)
    return Working(_activations(facts, settings, context), graphs, outside)


def _activations(facts: Facts, settings: Settings, context: int) -> int:
    """The largest step: a full batch through the widest layer, then the choice of the next words."""
    tokens, sequences = settings.step
    tokens = min(tokens, sequences * context)
    width = WIDTHS[serving_dtype(facts, settings)]
    inside = 3 * facts.intermediate
    if facts.experts_per_token:
        inside = facts.experts_per_token * (3 * _expert_width(facts) + facts.hidden)
    step = tokens * width * (3 * facts.hidden + inside // settings.tensor_parallel)
    words = min(sequences, tokens) * facts.vocab * (width + 8)
    return step + words


def _expert_width(facts: Facts) -> int:
    width = facts.config.get("moe_intermediate_size")
    return width if isinstance(width, int) and 0 < width < 10**8 else facts.intermediate
