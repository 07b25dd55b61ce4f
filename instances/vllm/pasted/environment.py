"""Which variables the engine is given, and which are left out: secrets, what is gone, and what loads code."""

from __future__ import annotations

from typing import Any

from instances.vllm.flags import refused_env, refused_flag
from instances.vllm.schema import Schema
from instances.vllm.schema.removed import REMOVED_ENVIRONMENT, Removed

from .gpus import VISIBLE
from .invocation import NOT_HERE, Invocation
from .secrets import HUB_NAMES, MASK, Secrets, is_placeholder, is_secret_name
from .words import Word

LONGEST = 4000  # characters of one value
MOST = 300
SLOW = (
    "CUDA_LAUNCH_BLOCKING",
    "TORCH_USE_CUDA_DSA",
    "VLLM_TRACE_FUNCTION",
    "NCCL_DEBUG",
    "TORCH_SHOW_CPP_STACKTRACES",
)
HUB_SECRET = "A token of a model hub: it belongs in the token store, not in a configuration."
EMPTY = "Empty in the text: there is nothing to keep."
EXAMPLE = "A placeholder for a token. Enter the real one among the tokens of model hubs."
MISSING = (
    "A secret whose value is not in the text. Tokens of model hubs are entered once, in the token store."
)
BY_NAME = "It holds a secret by its name, and configurations are shown to people."
HIDDEN = "It holds a secret or control characters, which no configuration keeps."


def engine_environment(
    invocation: Invocation, schema: Schema, secrets: Secrets
) -> tuple[dict[str, str], dict[str, Any]]:
    """The variables to set, and the flags that took the place of older ones."""
    env: dict[str, str] = {}
    flags: dict[str, Any] = {}
    for name, word in list(invocation.env.items())[:MOST]:
        shown = word.raw or f"{name}={word.text}"
        if name in VISIBLE:
            continue
        if is_secret_name(name, word.text):
            _secret(name, word, invocation, secrets)
        elif word.unknown:
            invocation.leave(shown, NOT_HERE)
        elif (gone := REMOVED_ENVIRONMENT.get(name.upper())) and not schema.is_older:
            flags |= _instead(name, word.text, shown, gone, invocation)
        elif why := refused_env(name):
            invocation.leave(shown, why)
        elif secrets.inside(word.text) or not _is_plain(word.text):
            invocation.leave(name, HIDDEN)
        else:
            env[name] = word.text
            if source := invocation.env_from.get(name):
                invocation.note(f"{name} was given with {source}; it was taken for the engine.")
    if slow := [name for name in env if name in SLOW]:
        verb = "are debug aids that make" if len(slow) > 1 else "is a debug aid that makes"
        invocation.note(f"{' and '.join(slow)} {verb} the engine slow.")
    return env, flags


def leave_key(name: str, texts: list[str], missing: bool, invocation: Invocation, secrets: Secrets) -> None:
    """A key or token that was given as a flag."""
    for text in texts:
        secrets.add(text, "" if missing else name.replace("-", "_"))
    why = refused_flag(name) if name == "api-key" else MISSING if missing else HUB_SECRET
    invocation.leave(f"--{name} {MASK}", why or HUB_SECRET)


def _is_plain(text: str) -> bool:
    return len(text) <= LONGEST and (text.isprintable() or not text)


def _secret(name: str, word: Word, invocation: Invocation, secrets: Secrets) -> None:
    if not word.text.strip():
        invocation.leave(f"{name}=", EMPTY)
    elif word.unknown:
        invocation.leave(f"{name}=", MISSING)
    else:
        secrets.add(word.text, name)
        if name.upper() not in HUB_NAMES:
            why = refused_env(name) or BY_NAME
        else:
            why = EXAMPLE if is_placeholder(word.text) else HUB_SECRET
        invocation.leave(f"{name}={MASK}", why)


def _instead(name: str, value: str, shown: str, gone: Removed, invocation: Invocation) -> dict[str, Any]:
    flags = gone.replace(value, {}) if gone.replace else None
    if not flags:
        invocation.leave(shown, f"vLLM no longer knows {name}. {gone.instead}")
        return {}
    for flag in flags:
        invocation.note(f"{name} is gone; it was translated to --{flag}.")
    return dict(flags)
