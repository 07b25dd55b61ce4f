"""What the source of a model says of it before it is on this machine."""

from __future__ import annotations

from . import model_paths, tokens
from .catalog import hub, modelscope, smollm2
from .catalog.failures import CatalogFailure, NotAHub, RateLimited, Unreachable
from .catalog.hub import Remote
from .catalog.origins import Origin
from .model_facts import Answer, HubSilent


def answer(model: str, revision: str | None, patience: float) -> Answer:
    """`patience`: seconds for each of the hub's answers. Raises HubSilent with its reason and what to do."""
    origin = model_paths.origin(model)
    if origin.kind == "package":
        return Answer(smollm2.SHAPE, {"BF16": smollm2.PARAMETERS}, 2 * smollm2.PARAMETERS)
    try:
        found = _remote(origin, revision, patience)
    except (NotAHub, RateLimited, Unreachable) as failure:
        # Two hubs: that one of them is away says nothing of the other.
        raise HubSilent(f"{failure.reason} {failure.mend}", everywhere=origin.kind == "hub") from failure
    except CatalogFailure as failure:
        raise HubSilent(f"{failure.reason} {failure.mend}") from failure
    if not found.config:
        raise HubSilent(f"{origin.id} has no config.json that tells its shape.")
    return Answer(found.config, found.counts, found.weights or None)


def _remote(origin: Origin, revision: str | None, patience: float) -> Remote:
    """Raises CatalogFailure."""
    if origin.kind == "modelscope":
        return modelscope.describe(
            modelscope.endpoint_of(), origin.id, revision, tokens.to_ask("modelscope"), patience
        )
    return hub.describe(hub.endpoint_of(), origin.id, revision, tokens.to_ask("huggingface"), patience)
