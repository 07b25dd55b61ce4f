"""What is refused because it cannot fit: a sentence with the numbers, for the field that would change it."""

from __future__ import annotations

from accounts.models import User

from . import fitting
from .configuration import Configuration
from .models import Instance

PERMISSION = "instances.force_fit"
FIELDS = {  # by the code of the objection
    "context-beyond-model": "max_model_len",
    "context-too-long": "max_model_len",
    "heads": "tensor_parallel_size",
    "too-few-gpus": "tensor_parallel_size",
    "gpu-gone": "gpus",
    "too-few-chosen": "gpus",
    "held-by-others": "gpu_memory_utilization",
    "no-room-for-cache": "gpu_memory_utilization",
    "memory": "args",
    "layers": "args",
}
OTHER = "model"


def refusals(
    wanted: Configuration, *, user: User, force: bool = False, leaving: Instance | None = None
) -> dict[str, str]:
    """By field; empty when it may start, is not to start, or is forced by one who may.

    While an instance is on its way down, what it still holds is no reason: the supervisor waits for it.
    """
    if not wanted.start or (force and user.has_perm(PERMISSION)):
        return {}
    fit = fitting.fit_of(wanted.config, ask=fitting.ask_hub(), leaving=leaving)
    if fit.verdict != "no":
        return {}
    makes_room = any(one.is_ending for one in Instance.objects.visible().with_launches())
    found: dict[str, str] = {}
    for one in fit.estimate.objections:
        if one.certain and (one.always or not makes_room):
            found.setdefault(FIELDS.get(one.code, OTHER), one.text)
    if found and fit.advice:
        first = next(iter(found))
        found[first] = f"{found[first]} {fit.advice.text}"
    return found
