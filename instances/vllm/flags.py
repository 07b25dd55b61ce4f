"""What a person may not give to an engine: flags and environment names, with the reason in a sentence.

vLLM reads a flag in many spellings: dashes or underscores, `--a=b`, any unambiguous beginning of the name,
and `--a.b.c value` for one key of a JSON value. Every spelling of a refused flag is refused, the ambiguous
ones too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from instances.vllm.refusals import (
    CODE,
    COMPILERS,
    EXECUTORS,
    FIELDS,
    NESTED,
    OURS,
    OVERRIDES,
    PROPOSER,
    REFUSED,
    REFUSED_ENVIRONMENT,
    SHORT,
    WHOLE,
)

PLAIN_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:\.[\w.-]+)?\+?")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NUMBER = re.compile(r"-\d+")  # with a point, vLLM takes it for a dotted flag


def canonical_flag(name: str) -> str:
    """The long name, without leading dashes and with dashes inside; what follows a dot stays as it is."""
    base, dot, keys = name.strip().lstrip("-").partition(".")
    base = SHORT.get(base, base).replace("_", "-").lower()
    return base + dot + keys


def refused_name(name: str) -> str | None:
    """Why no value of this flag may be given, as a sentence; None where some may, or it has a field of its own."""
    base = canonical_flag(name)
    return None if base in FIELDS else _named(base)


def refused_flag(name: str, value: Any = True) -> str | None:
    """Why this flag may not be given, as a sentence; None when it may."""
    given = canonical_flag(name.partition("=")[0])
    base, _, keys = given.partition(".")
    base = base.rstrip("+").strip()
    positive = base.removeprefix("no-")
    for candidate in (base, positive):
        if reason := _named(candidate):
            return reason
    if "=" in name:
        return "Give the flag's name and its value apart."
    if name != name.strip() or not NAME.fullmatch(given):
        return "This is not the name of a flag."
    if keys:
        return _refused_value(base, _nested(keys.rstrip("+"), value)) or _as_argument(value)
    return _refused_value(base, value) or _as_argument(value)


def _named(base: str) -> str | None:
    """The reason for a name or a beginning of one, as argparse would complete it."""
    first = base.split()[0] if base.split() else base  # "seed\n--host" is judged below; "host\n" here
    if not first or first in WHOLE:
        return None
    for refused, reason in REFUSED.items():
        if refused == first or (refused.startswith(first) and not _is_whole(first)):
            return f"{refused} is {reason}." if reason.startswith(OURS) else f"{refused} {reason}."
    for flag, field in FIELDS.items():
        if flag == first or (flag.startswith(first) and not _is_whole(first)):
            return f"{flag} has a field of its own: {field}."
    return None


def _is_whole(name: str) -> bool:
    return name in WHOLE or name in FIELDS or name in REFUSED or name == "hf-overrides"


def _nested(keys: str, value: Any) -> Any:
    """`a.b` and 1 as {"a": {"b": 1}}, as vLLM reads dotted flags."""
    for key in reversed(keys.split(".")):
        value = {key: _parsed(value)}
    return value


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _refused_value(base: str, value: Any) -> str | None:
    if base.startswith("hf-o") and "hf-overrides".startswith(base):
        return _refused_override(_parsed(value))
    if base.startswith("distributed-e") and value not in EXECUTORS:
        return f"distributed-executor-backend may be {' or '.join(EXECUTORS)}; others load code or use Ray."
    if base.startswith("spec-m") and _is_proposer(value):
        return f"{base} {PROPOSER}."
    for flag, keys in NESTED.items():
        if not (base == flag or flag.startswith(base)):
            continue
        config = _parsed(value)
        if not isinstance(config, Mapping):
            continue
        for key in config:
            if reason := keys.get(str(key).replace("-", "_")):
                return f"{flag}.{key} {reason}."
        if flag == "compilation-config" and config.get("backend", "") not in COMPILERS:
            return f"compilation-config.backend {CODE}it imports a Python object by name."
        if flag == "speculative-config" and (
            _is_proposer(config.get("method")) or _is_proposer(config.get("model"))
        ):
            return f"speculative-config {PROPOSER}."
        inductor = config.get("inductor_compile_config")
        if (
            flag == "compilation-config"
            and isinstance(inductor, Mapping)
            and any("." in key for key in inductor)
        ):
            return f"compilation-config.inductor_compile_config {CODE}keys with a dot name programs to run."
    return None


def _is_proposer(value: Any) -> bool:
    """vLLM takes a dotted name without a slash for a Python class that drafts, and so does its own method name."""
    if not isinstance(value, str):
        return False
    parts = value.strip().split(".")
    return value.strip() == "custom_class" or (len(parts) > 1 and all(part.isidentifier() for part in parts))


def _refused_override(overrides: Any) -> str | None:
    allowed = ", ".join(OVERRIDES)
    if not isinstance(overrides, Mapping):
        return f"hf-overrides must be a JSON object with some of these keys: {allowed}."
    for key, value in overrides.items():
        if key not in OVERRIDES:
            return f"hf-overrides may not change {key}; only {allowed}."
        inner = value.values() if isinstance(value, Mapping) else [value]
        if not all(_is_plain(one) for one in inner):
            return f"hf-overrides.{key} must hold plain numbers and words."
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return bool(PLAIN_WORD.fullmatch(value))
    if isinstance(value, list):
        return all(isinstance(one, int | float) for one in value)
    return value is None or isinstance(value, int | float)


def _as_argument(value: Any) -> str | None:
    """A value that would be read as another flag when it stands alone on the command line."""
    several = isinstance(value, list | tuple)
    for one in value if several else [value]:
        if isinstance(one, Mapping | list | tuple):
            continue
        text = str(one)
        if "\0" in text:
            return "A value cannot hold a NUL character."
        if several and text.startswith("-") and not NUMBER.fullmatch(text):
            return "A value in a list cannot begin with a dash: it would be read as a flag."
    return None


def refused_env(name: str) -> str | None:
    """Why this environment name may not be set, as a sentence; None when it may. Case makes no difference."""
    if not ENVIRONMENT_NAME.fullmatch(name):
        return "This is not the name of an environment variable."
    for pattern, reason in REFUSED_ENVIRONMENT.items():
        if fnmatchcase(name.upper(), pattern):
            return f"{name} is {reason}." if reason.startswith(OURS) else f"{name} {reason}."
    return None
