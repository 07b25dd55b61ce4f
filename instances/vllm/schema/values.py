"""Is this a value that a flag can have? Numbers may come as text, as they do from forms and command lines."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from .schema import Flag

ON, OFF = ("true", "on", "yes", "1"), ("false", "off", "no", "0")
WHOLE = re.compile(r"[+-]?\d{1,18}")
GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([kKmMgGtT]?)")
UNITS = {"": 1, **{unit: 1000**power for power, unit in enumerate("kmgt", 1)}}
UNITS |= {unit: 1024**power for power, unit in enumerate("KMGT", 1)}
SHOWN = 12  # choices in one sentence
NOTHING = ("None", "none", "null")
LONGEST_JSON = 20_000  # characters


class Wrong(ValueError):
    """The flag cannot have this value; carries a sentence that names it."""


def judge(flag: Flag, value: Any, *, strict: bool = True) -> Any:
    """The value as a configuration keeps it; None when it means that the flag is not given. Raises Wrong.

    What vLLM reads in a short form stays as it was written (32k, 8G). With `strict` false the schema is that
    of another version: then a value outside the choices, or an unknown key, is left for the engine to judge.
    """
    if value is None or (flag.default is None and flag.kind != "switch" and _means_nothing(flag, value)):
        return None
    if flag.kind == "switch":
        return _switch(flag, value)
    if value is True and flag.optional:
        return True
    if isinstance(value, bool):
        fault = "takes a value" if value else "takes a value and has no --no- form: leave it out"
        raise Wrong(f"--{flag.name} {fault}{_like(flag)}.")
    if flag.several:
        return [_one(flag, one, strict) for one in _several(flag, value)]
    return _one(flag, value, strict)


def is_default(flag: Flag, value: Any) -> bool:
    """Whether a judged value is what the engine takes anyway. A default that the engine works out is no value."""
    if value is None or (flag.kind in ("json", "either") and value == {}):
        return True
    if flag.default is None:
        return False
    if flag.kind == "size":
        return size_of(value) == size_of(flag.default)
    if flag.several and isinstance(value, list) and isinstance(flag.default, list):
        return [str(one) for one in value] == [str(one) for one in flag.default]
    if isinstance(value, bool) or isinstance(flag.default, bool):
        return value is flag.default
    if isinstance(value, int | float) and isinstance(flag.default, int | float):
        return float(value) == float(flag.default)
    return value == flag.default or str(value) == str(flag.default)


def size_of(value: Any) -> int | None:
    """`32k` is 32,000 and `32K` 32,768, as vLLM reads them; None for what is no size."""
    found = SIZE.fullmatch(str(value).strip())
    if found is None or ("." in found[1] and not found[2].islower()):
        return None
    return int(float(found[1]) * UNITS[found[2]]) if "." in found[1] else int(found[1]) * UNITS[found[2]]


def _means_nothing(flag: Flag, value: Any) -> bool:
    return value == "" or (value in NOTHING and value not in flag.choices)


def _one(flag: Flag, value: Any, strict: bool) -> Any:
    judged = KINDS[flag.kind](flag, value)
    if flag.keys and strict and isinstance(judged, Mapping):
        _known_keys(flag, judged)
    return _choice(flag, judged, strict) if flag.choices else judged


def _several(flag: Flag, value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            parsed = _parsed(text)
            if isinstance(parsed, list):
                return parsed
        if flag.kind in ("whole", "number", "size"):
            return re.split(r"[\s,]+", text)
        return [line.strip() for line in text.splitlines() if line.strip()]
    return [value]


def _switch(flag: Flag, value: Any) -> bool:
    word = str(value).strip().lower()
    if value is True or word in ON:
        return True
    if value is False or word in OFF:
        return False
    raise Wrong(f"--{flag.name} is a switch: say true or false.")


def _whole(flag: Flag, value: Any) -> int:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    text = text.replace("_", "")
    if GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if isinstance(value, bool) or not WHOLE.fullmatch(text):
        size = size_of(value)
        hint = f": write {size}" if size is not None else _like(flag)
        raise Wrong(f"--{flag.name} takes a whole number{hint}.")
    return int(text)


def _number(flag: Flag, value: Any) -> int | float:
    try:
        number = float(str(value).strip())
    except ValueError:
        number = float("nan")
    if isinstance(value, bool) or not abs(number) < 1e18:  # also what is no number at all
        raise Wrong(f"--{flag.name} takes a number{_like(flag)}.")
    whole = WHOLE.fullmatch(str(value).strip())
    return int(number) if whole else number


def _size(flag: Flag, value: Any) -> int | str:
    text = str(value).strip()
    if text in flag.suggested or (flag.name == "max-model-len" and text.lower() in ("auto", "-1")):
        return text
    if GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if isinstance(value, bool) or size_of(text) is None:
        raise Wrong(_no_size(flag, text))
    return int(text) if text.isdecimal() else text


def _no_size(flag: Flag, text: str) -> str:
    bare = re.sub(r"(?i)\s*i?b$", "", text).replace(" ", "")
    if size_of(bare) is not None and bare != text:
        return f"--{flag.name} takes sizes without a B: write {bare}."
    if size_of(bare.lower()) is not None:
        return f"--{flag.name}: a fraction goes with a small letter only, as 1.5g (1,500,000,000)."
    return f"--{flag.name} takes a whole number, or one like 32k (32,000), 32K (32,768) or 8G."


def _text(flag: Flag, value: Any) -> Any:
    if flag.several and isinstance(value, Mapping):
        return value  # one of several, as JSON
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Wrong(f"--{flag.name} takes text{_like(flag)}.")
    return str(value).strip()


def _json(flag: Flag, value: Any) -> Any:
    parsed = _parsed(value) if isinstance(value, str) else value
    if isinstance(parsed, Mapping | list):
        return parsed
    raise Wrong(_no_json(flag, value))


def _either(flag: Flag, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    return _json(flag, text) if text[:1] in ("{", "[") else text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _no_json(flag: Flag, value: Any) -> str:
    text = str(value).strip()
    if (meant := _python_literal(text)) is not None:
        return f"--{flag.name} takes JSON, with double quotes: write {json.dumps(meant)}."
    example = json.dumps({flag.keys[0]: "..."}) if flag.keys else '{"key": "value"}'
    return f"--{flag.name} takes JSON, like {example}."


def _python_literal(text: str) -> Any:
    """What was meant by Python's own quotes; read as data, never run."""
    if len(text) > LONGEST_JSON or text[:1] not in ("{", "["):
        return None
    try:
        meant = ast.literal_eval(text)
        json.dumps(meant)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return meant if isinstance(meant, dict | list) else None


def _known_keys(flag: Flag, config: Mapping[str, Any]) -> None:
    for key in config:
        if str(key) not in flag.keys:
            near = get_close_matches(str(key).replace("-", "_"), flag.keys, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" It has {', '.join(flag.keys[:SHOWN])}."
            raise Wrong(f"--{flag.name} has no key {key}.{hint}")


def _choice(flag: Flag, value: Any, strict: bool) -> Any:
    """The choice as vLLM spells it; capitals, dashes and underscores make no difference."""
    if isinstance(value, Mapping):
        return value
    text = str(value)
    if text in flag.choices:
        return value
    same = [choice for choice in flag.choices if _plain(choice) == _plain(text)]
    if len(same) == 1:
        return same[0]
    if not strict:
        return value
    near = get_close_matches(text.lower(), flag.choices, n=3, cutoff=0.4)
    choices = [*near, *(choice for choice in flag.choices if choice not in near)]
    more = f" and {len(choices) - SHOWN} more" if len(choices) > SHOWN else ""
    raise Wrong(f"--{flag.name} cannot be {text[:60]}. Choose one of: {', '.join(choices[:SHOWN])}{more}.")


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def _like(flag: Flag) -> str:
    """An example, where the schema has one."""
    if flag.choices or flag.suggested:
        return f", like {(flag.choices or flag.suggested)[0]}"
    if isinstance(flag.default, int | float) and not isinstance(flag.default, bool):
        return f", like {flag.default}"
    return ""


KINDS = {
    "whole": _whole,
    "number": _number,
    "size": _size,
    "text": _text,
    "json": _json,
    "either": _either,
}
