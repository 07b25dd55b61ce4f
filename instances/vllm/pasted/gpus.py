"""Which GPUs a text chooses, and whether they are as many as the engine will use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .arguments import Given
from .fields import MOST_GPUS
from .invocation import NOT_HERE, Invocation

VISIBLE = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
GPU = re.compile(r"[0-9]{1,3}|(?:GPU|MIG)-[0-9A-Za-z-]{1,60}")
ANY = ("all", "none", "void", "", "-1")
SPLITS = ("pipeline-parallel-size", "data-parallel-size", "prefill-context-parallel-size")


def chosen_gpus(flag: Given | None, invocation: Invocation) -> list[str] | None:
    """By a flag, else by a variable, else by the container's options; numbers inside a container count its own."""
    inner = _by_variable(invocation)
    if flag is not None and isinstance(flag.value, str) and not flag.unknown:
        inner = _listed(flag.value, flag.shown, invocation) or inner
    outer = invocation.gpus
    if inner and outer and all(one.isdecimal() for one in inner):
        inside = [outer[int(one)] for one in inner if int(one) < len(outer)]
        inner = inside if len(inside) == len(inner) else inner
    return inner or (_listed(",".join(outer), "--gpus", invocation) if outer else None)


def note_ranks(gpus: list[str], values: Mapping[str, Any], invocation: Invocation) -> None:
    """Say so when more GPUs are listed than will be used, or fewer."""
    args = values.get("args", {})
    ranks = int(values.get("tensor_parallel_size", 1))
    for name in SPLITS:
        size = args.get(name, 1)
        ranks *= size if isinstance(size, int) else 1
    if len(gpus) != ranks:
        end = "will be used" if len(gpus) > ranks else "are needed"
        some = "1 GPU is listed" if len(gpus) == 1 else f"{len(gpus)} GPUs are listed"
        invocation.note(f"{some} ({', '.join(gpus)}), and {ranks} {end}.")


def _by_variable(invocation: Invocation) -> list[str] | None:
    for name in VISIBLE:
        word = invocation.env.get(name)
        if word is None:
            continue
        shown = word.raw or f"{name}={word.text}"
        if word.unknown:
            invocation.leave(shown, NOT_HERE)
        elif word.text.strip().lower() not in ANY:
            return _listed(word.text, shown, invocation)
    return None


def _listed(text: str, shown: str, invocation: Invocation) -> list[str] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names and len(set(names)) == len(names) <= MOST_GPUS and all(map(GPU.fullmatch, names)):
        return names
    invocation.leave(shown, "This choice of GPUs was not understood. Choose them in the field gpus.")
    return None
