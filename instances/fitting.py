"""Does a configuration fit here? What is known of the model, the memory that is free, and what was seen before."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

import psutil

from monitoring import latest
from monitoring.sampler import Readings

from . import fit_history, free_memory, hub_facts, model_facts
from .fit_card import Fit
from .models import Instance
from .vllm import engines
from .vllm.fit.advice import advise
from .vllm.fit.estimate import Estimate, estimate
from .vllm.fit.objections import Objection
from .vllm.fit.room import Room
from .vllm.fit.settings import settings_of

logger = logging.getLogger(__name__)

HUB_PATIENCE = 2.0  # seconds that a form waits for a hub; the answer is kept


def fit_of(
    config: Mapping[str, Any],
    *,
    ask: model_facts.Ask | None = None,
    readings: Readings | None = None,
    leaving: Instance | None = None,
    room: Room | None = None,
    accelerator: str = "",
) -> Fit:
    """Of a configuration as a revision keeps it. `ask` reaches the hub; without it nothing leaves this machine."""
    accelerator = accelerator or accelerator_of(config)
    wanted = settings_of(config, accelerator)
    if room is None:
        room = free_memory.room_of(wanted.accelerator, readings, leaving=leaving)
    known = model_facts.known(str(config.get("model") or ""), _revision(config), ask=ask)
    if known.model is None:
        nothing = Estimate("unknown", (Objection("model", known.why, always=False, certain=False),))
        return Fit(nothing, room, None, known.why)
    correction = fit_history.correction_of(config, wanted.accelerator)
    found = estimate(known.model, wanted, room, correction)
    advice = advise(known.model, wanted, room, correction, found)
    return Fit(found, room, advice, leaving=leaving.name if leaving else "")


def refusal(fit: Fit) -> str:
    """Why this must not be started, with the numbers; empty when it may. What is not known is not refused."""
    if fit.verdict != "no":
        return ""
    sentences = [one.text for one in fit.estimate.objections if one.certain]
    if fit.advice:
        sentences.append(f"{fit.advice.text} {fit.advice.price}")
    return " ".join(sentences)


def ask_hub(patience: float = HUB_PATIENCE) -> model_facts.Ask:
    """The hub, asked with that patience in seconds for each of its answers."""
    return functools.partial(hub_facts.answer, patience=patience)


def accelerator_of(config: Mapping[str, Any]) -> str:
    """Of the engine that would run it; without one, of the one that would be installed here."""
    engine = engines.choose(config.get("engine"))
    if isinstance(engine, engines.Missing):
        gpus = latest.gpus_now()
        return "cuda" if gpus is not None and gpus.gpus else "cpu"
    return engine.accelerator


def kept_estimate(
    config: Mapping[str, Any], accelerator: str, readings: Readings | None
) -> dict[str, Any] | None:
    """What a launch is expected to take, to be laid beside what its engine logs; None where that is not known.

    Never asks the network, and waits for no driver: without readings, free memory is not known.
    """
    try:
        room = free_memory.room_of(accelerator, readings) if readings else Room()
        return fit_history.recorded(fit_of(config, accelerator=accelerator, room=room).estimate)
    except (OSError, psutil.Error) as error:  # nothing of this is a reason not to start
        logger.warning("What a launch will take could not be reckoned: %s", error)
        return None


def _revision(config: Mapping[str, Any]) -> str | None:
    revision = (config.get("args") or {}).get("revision")
    return (
        revision
        if isinstance(revision, str) and revision.replace("-", "").replace(".", "").isalnum()
        else None
    )
