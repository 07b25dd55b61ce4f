"""Words after `vllm serve`: which flags they are, in any spelling, and which values belong to them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from instances.vllm.causes.command import as_json
from instances.vllm.flags import canonical_flag
from instances.vllm.schema import Flag, Schema
from instances.vllm.schema.removed import REMOVED
from instances.vllm.schema.schema import canonical

from .words import Word

NUMBER = re.compile(r"-\d+(?:\.\d*)?|-\.\d+")
GLUED = re.compile(r"-(tp|pp|dp|ep|pcp|dcp)(\d+)")
COMPILATION = re.compile(r"-O\.?([a-z_][\w.]*)?(?:=(.*))?", re.DOTALL)
YES, NO = ("true", "yes", "on"), ("false", "no", "off")
OURS = ("api-key", "hf-token")  # never taken, so that it does not matter which one counts
MOST_WORDS = 2000
LONGEST_LITERAL = 20_000
DEEPEST_LITERAL = 60

# Flags of older versions that stood alone: what follows them is not their value.
ALONE = frozenset(
    """enable-reasoning disable-log-requests use-v2-block-manager worker-use-ray engine-use-ray disable-log-stats
    disable-async-output-proc disable-frontend-multiprocessing enable-prompt-adapter multi-step-stream-outputs
    enable-lora-bias disable-mm-preprocessor-cache enable-multimodal-encoder-data-parallel enable-microbatching
    speculative-disable-mqa-scorer disable-logprobs-during-spec-decoding eplb-log-balancedness calculate-kv-scales
    guided-decoding-disable-any-whitespace guided-decoding-disable-fallback
    guided-decoding-disable-additional-properties""".split()
)


@dataclass
class Given:
    """One flag as it was written, with what followed it."""

    written: str  # its name as written
    name: str  # the long one, without dashes
    value: Any  # text, True, False, a list of texts, or a mapping
    shown: str  # all of it, as it was written
    flag: Flag | None = None  # None: this engine has no such flag
    unknown: tuple[str, ...] = ()  # variables whose value the text does not have


@dataclass
class Taken:
    """All flags, the last of each name, and the words that belong to none."""

    flags: dict[str, Given] = field(default_factory=dict)
    loose: list[Word] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_arguments(words: Sequence[Word], schema: Schema) -> Taken:
    taken = Taken()
    if len(words) > MOST_WORDS:
        taken.notes.append(f"Only the first {MOST_WORDS:,} words of the command were read.")
        words = words[:MOST_WORDS]
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not is_flag_word(word.text):
            if word.text not in ("", "\\", "^", "`"):
                taken.loose.append(word)
            continue
        if word.text == "--":
            continue
        following: list[Word] = []
        while at + len(following) < len(words) and not is_flag_word(words[at + len(following)].text):
            following.append(words[at + len(following)])
            if len(following) > 200:
                break
        given, used = _one(word, following, schema, taken)
        at += used
        _keep(given, taken)
    return taken


def is_flag_word(text: str) -> bool:
    return len(text) > 1 and text[0] == "-" and not NUMBER.fullmatch(text)


def _one(word: Word, following: Sequence[Word], schema: Schema, taken: Taken) -> tuple[Given, int]:
    """A flag and how many of the words after it are its values."""
    name, sign, inline = _spelled(word.text, following, taken.notes)
    spelling = None if _is_old(name, schema) else schema.spelling(name)
    if spelling is None:
        return _unknown(name, sign, inline, word, following)
    flag = spelling.flag
    text: str | None = inline if sign else spelling.value
    values: list[Word] = []
    if flag.kind == "switch" and not spelling.keys:
        values = [one for one in following[:1] if text is None and one.text.lower() in YES + NO]
        written = values[0].text if values else text
        value: Any = _switch(written, spelling.negated, flag, taken.notes)
    elif text is not None:
        value = text
    elif flag.several and not spelling.keys:
        values = list(following)
        value = [one.text for one in values] or True
    else:
        values = list(following[:1])
        value = values[0].text if values else True
    if flag.kind in ("json", "either") or spelling.keys:
        value = _json(flag, value, spelling.keys, name.endswith("+"), taken.notes)
    elif flag.several and isinstance(value, list):
        value = [_literal(one) if one.startswith("{") else one for one in value]
    return _given(word, values, flag.name, value, name, flag), len(values)


def _spelled(text: str, following: Sequence[Word], notes: list[str]) -> tuple[str, str, str]:
    """The name, whether a value was glued to it, and that value. Old and slurred short forms are put right."""
    if found := GLUED.fullmatch(text):
        notes.append(f"{text} was read as -{found[1]} {found[2]}.")
        return f"-{found[1]}", "=", found[2]
    if text.startswith("-O") and not re.fullmatch(r"-O=?\d*", text) and (old := COMPILATION.fullmatch(text)):
        if old[1] in ("level", None):
            if (old[2] or "").isdecimal():
                notes.append(f"{text} was read as --optimization-level {old[2]}, which it means today.")
                return "--optimization-level", "=", old[2]
            if (old[2] or "").startswith("{"):
                return "--compilation-config", "=", old[2]
        else:
            notes.append(f"{text} was read as --compilation-config.{old[1]}, which it means today.")
            return f"--compilation-config.{old[1]}", "=" if old[2] is not None else "", old[2] or ""
    if text == "-O" and following and following[0].text.startswith("{"):
        config = _literal(following[0].text)
        if isinstance(config, Mapping) and list(config) == ["level"]:
            notes.append("-O with a level as JSON was read as --optimization-level, which it means today.")
            return "--optimization-level", "=", str(config["level"])
        notes.append("-O with JSON was read as --compilation-config, which it means today.")
        return "--compilation-config", "", ""
    if re.fullmatch(r"-O=?\d+", text):
        return "-O", "=", text.lstrip("-O=")
    name, sign, inline = text.partition("=")
    return name, sign, inline


def _is_old(name: str, schema: Schema) -> bool:
    """Whether a whole name of an older version was meant, and not the beginning of one of today."""
    return (
        schema.exact(name) is None
        and canonical(name) in REMOVED
        and not (schema.stands_in_for and schema.is_older)
    )


def _unknown(name: str, sign: str, inline: str, word: Word, following: Sequence[Word]) -> tuple[Given, int]:
    bare = canonical(name)
    if sign:
        return _given(word, [], bare, inline, name), 0
    if bare in ALONE:
        values = [one for one in following[:1] if one.text.lower() in YES + NO]
        return _given(word, values, bare, not values or values[0].text.lower() in YES, name), len(values)
    values = list(following if bare in ("cuda-graph-sizes", "prompt-adapters") else following[:1])
    value: Any = [one.text for one in values] if len(values) > 1 else values[0].text if values else True
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = _literal(value) or value
    return _given(word, values, bare, value, name), len(values)


def _given(
    word: Word, values: Sequence[Word], name: str, value: Any, written: str, flag: Flag | None = None
) -> Given:
    shown = " ".join([word.shown, *(one.shown for one in values)])
    unknown = tuple(one for each in (word, *values) for one in each.unknown)
    return Given(written, name, value, shown, flag, unknown)


def _switch(text: str | None, negated: bool, flag: Flag, notes: list[str]) -> bool | str:
    if text is None:
        return not negated
    word = text.strip().lower()
    if word in (*YES, "1"):
        notes.append(f"--{flag.name} is a switch: “{text}” after it was read as on.")
        return not negated
    if word in (*NO, "0"):
        form = "the --no- form" if flag.negated else "leaving it out"
        notes.append(f"--{flag.name} is a switch: “{text}” after it was read as {form}.")
        return negated
    return text


def _json(flag: Flag, value: Any, keys: tuple[str, ...], appends: bool, notes: list[str]) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "["):
        found = _literal(text)
        if found is not None:
            if not _is_json(text):
                notes.append(f"The value of --{flag.name} was in Python's quotes; it was written as JSON.")
            value = found
    elif not keys and flag.kind == "json" and isinstance(meant := as_json(text), dict) and meant:
        notes.append(f"--{flag.name} {text} was written as JSON, as vLLM wants it today.")
        value = meant
    elif keys:
        value = text.split(",") if appends else _plain(text)
    for key in reversed(keys):
        value = {key: value}
    return value


def _plain(text: str) -> Any:
    """A value of a dotted key, as vLLM reads it: JSON, or the text itself."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _literal(text: str) -> Any:
    """JSON, or a Python literal; None for neither. Read as data, never run."""
    if len(text) > LONGEST_LITERAL or max(map(text.count, "{[(~")) > DEEPEST_LITERAL or "--" in text:
        return None
    for attempt in (text, text.replace("\n", ""), re.sub(r"\\([\"'{}\[\]])", r"\1", text)):
        try:
            return json.loads(attempt, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            continue
    try:
        meant = ast.literal_eval(re.sub(r"\b(true|false|null)\b", _python_word, text))
        json.dumps(meant, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return meant if isinstance(meant, dict | list) else None


def _python_word(found: re.Match[str]) -> str:
    return {"true": "True", "false": "False", "null": "None"}[found[0]]


def _keep(given: Given, taken: Taken) -> None:
    """The last of each name; dotted keys of one flag together."""
    if given.flag is None:
        given.name = canonical_flag(given.name)
    earlier = taken.flags.pop(given.name, None)
    if earlier is not None:
        dotted = "." in given.written or "." in earlier.written
        if dotted and isinstance(given.value, Mapping) and isinstance(earlier.value, Mapping):
            given.value = merged(earlier.value, given.value)
            given.shown = f"{earlier.shown} {given.shown}"
            given.unknown = earlier.unknown + given.unknown
        elif earlier.value != given.value and given.name not in OURS:
            taken.notes.append(f"--{given.name} is given more than once; the last one counts.")
    taken.flags[given.name] = given


def merged(one: Any, other: Any) -> Any:
    """Two mappings key by key, the second one's values first."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return other
    return {**one, **{key: merged(one[key], value) if key in one else value for key, value in other.items()}}
