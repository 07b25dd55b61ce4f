"""GPU memory: where it ran out, and what helps there. Each place has its own advice.

The place is the phase, or better what the traceback was doing: see `stages.py`.
"""

from __future__ import annotations

from typing import Any

from .cause import Cause, Groups, thousands, whole

LEAST_SHARE = 0.05  # the deploy form allows no less
FULL = (  # what PyTorch says of the card when it finds no room; the words moved in 2.1
    r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ [GM]iB)"
    r"(?:.*?this process has (?P<own>[\d.]+ [GM]iB) memory in use)?)?"
)
OUT_OF_MEMORY = (
    r"(?<!ray\.exceptions\.)OutOfMemoryError(?::|$)" + FULL,
    r"(?:CUDA|HIP|XPU|cuda|hip)(?: driver)?(?: [Ee]rror)?:? out of memory" + FULL,
    r"Cuda failure(?: \d+)? '?out of memory",
    r"CUBLAS_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY",
)
NEED = (
    r"max seq len \((?P<asked>[\d,]+)\),? \(?(?P<need>[\d.]+) ?Gi?B KV cache is needed,? "
    r"which is larger than the available KV cache memory \((?P<have>[\d.]+) ?Gi?B\)"
)


def _share_left(groups: Groups) -> dict[str, str]:
    """From GiB free and in all: what others hold, and the largest share that is free (rounded down)."""
    free, total = float(groups["free"]), float(groups["total"])
    share = int(free / total * 100 + 1e-9) / 100 if total else 0.0
    enough = share > LEAST_SHARE
    return {
        "held": f"{total - free:.1f}",
        "largest": f"{share:.2f}",
        "or": f", or lower the memory share to {share:.2f} or less" if enough else "",
    }


def _lower_share(groups: Groups) -> dict[str, Any] | None:
    share = float(_share_left(groups)["largest"])
    return {"gpu_memory_utilization": share} if share > LEAST_SHARE else None


def _others(groups: Groups) -> dict[str, str] | None:
    """Only when what others hold and what this process holds are known apart, and theirs is much."""
    total, own, other = (float(groups[name]) for name in ("total", "own", "other"))
    return {} if other >= total / 10 and own + other <= total * 1.05 else None


def _fitting(groups: Groups) -> dict[str, Any] | None:
    """A context a little below what fits: a multiple of 64."""
    fits = whole(groups["fits"])
    return {"max_model_len": fits // 64 * 64 or fits} if fits > 0 else None


def _whose(groups: Groups) -> dict[str, str]:
    gpu, total, own = groups.get("gpu", ""), groups.get("total", ""), groups.get("own", "")
    if own:
        return {"whose": f": this engine alone holds {own} of the {total} of GPU {gpu}"}
    return {"whose": f" (GPU {gpu}, {total} in all)" if gpu else ""}


def _half(groups: Groups) -> dict[str, Any] | None:
    half = whole(groups["count"]) // 2
    return {"args": {"max-num-seqs": half}} if half else None


GPU_MEMORY: tuple[Cause, ...] = (
    Cause(
        "memory-held-by-others",
        (
            r"Free memory on device.*?\((?P<free>[\d.]+)/(?P<total>[\d.]+) ?Gi?B\) on startup is less than "
            r"(?:desired GPU memory utilization|the engine's budget[^(]*?) \((?P<share>[\d.]+)",
        ),
        "Others already use {held} of the GPU's {total} GiB, so a memory share of {share} cannot be taken.",
        "Stop what else uses the GPU, choose another GPU{or}.",
        derive=_share_left,
        change=_lower_share,
    ),
    Cause(
        "memory-held-by-others",
        (
            r"OutOfMemoryError.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+) GiB"
            r".*?Process \d+ has (?P<other>[\d.]+) GiB memory in use"
            r".*?this process has (?P<own>[\d.]+) GiB memory in use",
        ),
        "GPU memory ran out because another process holds {other} of the {total} GiB of GPU {gpu}.",
        "Stop what else uses the GPU, or choose another GPU.",
        derive=_others,
    ),
    Cause(
        "memory-changed",
        (r"Error in memory profiling\.",),
        "The GPU's free memory changed while the engine measured it: another program came or went.",
        "Start it again when nothing else starts or stops on that GPU.",
    ),
    Cause(
        "context-too-long",
        (NEED + r".*?estimated maximum model length is (?P<fits>\d[\d,]*)",),
        "A context of {asked} tokens needs {need} GiB of KV cache, and {have} GiB are there; "
        "about {fits} tokens fit.",
        "Set the context length to {fits} or less, or give the engine more memory.",
        final=True,
        derive=thousands,
        change=_fitting,
    ),
    Cause(
        "context-too-long",
        (
            r"max seq len \((?P<asked>[\d,]+)\) is larger than the maximum number of tokens "
            r"that can be stored in (?:the )?KV cache \((?P<fits>\d[\d,]*)\)",
        ),
        "A context of {asked} tokens does not fit into the KV cache; about {fits} tokens do.",
        "Set the context length to {fits} or less, or give the engine more memory.",
        final=True,
        derive=thousands,
        change=_fitting,
    ),
    Cause(
        "context-too-long",
        (NEED,),
        "A context of {asked} tokens needs {need} GiB of KV cache, and {have} GiB are there.",
        "Set a shorter context length, or give the engine more memory.",
        final=True,
        derive=thousands,
    ),
    Cause(
        "no-room-for-cache",
        (r"(?<![\"'])No available memory for the cache blocks", r"Cannot auto-fit max_model_len: not enough"),
        "The weights fit, but nothing of the memory share is left for the KV cache.",
        "Raise the memory share if the GPU has more free, or choose a larger GPU, a smaller model, fewer "
        "sequences (max-num-seqs) or eager mode; a shorter context alone does not help.",
        final=True,
    ),
    Cause(
        "too-many-sequences",
        (r"max_num_seqs \((?P<asked>\d+)\) exceeds available Mamba cache blocks \((?P<fits>\d+)\)",),
        "{asked} sequences at once need more cache than there is; {fits} fit.",
        "Set max-num-seqs to {fits} or less, or raise the memory share.",
        final=True,
        change=lambda groups: {"args": {"max-num-seqs": whole(groups["fits"])}},
    ),
    Cause(
        "out-of-memory-sequences",
        (r"out of memory occurred when warming up (?:sampler|pooler) with (?P<count>\d+) dummy requests",),
        "GPU memory ran out while {count} sequences were tried at once.",
        "Lower max-num-seqs or the memory share.",
        change=_half,
    ),
    Cause(
        "out-of-memory-graphs",
        OUT_OF_MEMORY,
        "GPU memory ran out while CUDA graphs were captured{whose}.",
        "Use eager mode (enforce-eager), which makes no graphs, or lower the memory share a little.",
        phases=("graphs",),
        derive=_whose,
        change={"args": {"enforce-eager": True}},
    ),
    Cause(
        "out-of-memory-weights",
        OUT_OF_MEMORY,
        "GPU memory ran out while the weights were loaded{whose}.",
        "Use more GPUs (tensor parallel), or a smaller or quantised model; "
        "neither a lower memory share nor a shorter context helps here.",
        phases=("import", "download", "weights"),
        derive=_whose,
    ),
    Cause(
        "out-of-memory-cache",
        OUT_OF_MEMORY,
        "GPU memory ran out while room for the KV cache was taken{whose}.",
        "Lower the memory share a little, and see that nothing else uses the GPU.",
        phases=("cache",),
        derive=_whose,
    ),
    Cause(
        "out-of-memory-profiling",
        OUT_OF_MEMORY,
        "GPU memory ran out while the largest batch was tried{whose}.",
        "Lower max-num-batched-tokens or max-num-seqs, use more GPUs, or a smaller or quantised model.",
        phases=("memory", "compile"),
        derive=_whose,
    ),
    Cause(
        "out-of-memory-serving",
        OUT_OF_MEMORY,
        "GPU memory ran out while it answered requests{whose}.",
        "Lower the memory share, which leaves more room beside the cache, or max-num-seqs.",
        phases=("serving",),
        derive=_whose,
    ),
    Cause(
        "out-of-memory",
        OUT_OF_MEMORY,
        "GPU memory ran out{whose}.",
        "Lower the context length or max-num-seqs, use more GPUs, or choose a smaller or quantised model.",
        derive=_whose,
    ),
)
