"""Whether the files of a configuration's model are on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from . import model_paths
from .catalog import cache
from .catalog.origins import Origin

# Flags that may name files of another repository.
ELSEWHERE = ("tokenizer", "hf-config-path", "speculative-config", "generation-config", "lora-modules")


def origin(config: Mapping[str, Any]) -> Origin:
    return model_paths.origin(str(config["model"]))


def is_here(config: Mapping[str, Any]) -> bool:
    """All of them. A path of nobody's is judged by the engine that is to read it."""
    found = origin(config)
    if found.kind == "local":
        return True
    if found.kind == "hub":
        revision = (config.get("args") or {}).get("revision")
        return cache.snapshot(settings.HF_CACHE, found.id, revision, wants_mistral(config)) is not None
    return found.folder is not None and cache.is_complete(found.folder, mistral=wants_mistral(config))


def wants_mistral(config: Mapping[str, Any]) -> bool:
    """Whether it loads the weights in Mistral's own format, which some models have beside the usual ones."""
    return (config.get("args") or {}).get("load-format") == "mistral"


def needs_no_hub(config: Mapping[str, Any]) -> bool:
    """Whether its engine can be told to ask no hub at all, which spares it the waiting for a bad network."""
    from_elsewhere = any((config.get("args") or {}).get(name) is not None for name in ELSEWHERE)
    return not from_elsewhere and origin(config).kind != "local" and is_here(config)
