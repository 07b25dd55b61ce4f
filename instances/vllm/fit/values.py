"""Reading what may be anything: values of a config.json or of a form that nobody has judged yet."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

MOST = 10**12  # no count of anything in a model is larger; what is, was not meant
BYTES_MOST = 10**16

_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([kKmMgGtT]?)")


def whole(value: object, least: int = 1, most: int = MOST) -> int | None:
    """A whole number within these bounds, also when it came as a string or as 4096.0; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        if not re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
            return None
        value = int(value)
    if isinstance(value, float) and (not math.isfinite(value) or not value.is_integer()):
        return None
    return int(value) if least <= value <= most else None


def first(config: Mapping[str, Any], *names: str, least: int = 1, most: int = MOST) -> int | None:
    """The first of these names that holds a whole number within the bounds."""
    found = (whole(config.get(name), least, most) for name in names)
    return next((number for number in found if number is not None), None)


def share(value: object) -> float | None:
    """A number above 0 and not above 1."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return number if 0.0 < number <= 1.0 else None


def number(value: object) -> float | None:
    """A finite number above 0."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found > 0 else None


def size(value: object) -> int | None:
    """Bytes or tokens as vLLM reads them: `64M` is binary, `64m` decimal, a plain number is itself."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        value = float(match[1]) * _SUFFIXES[match[2]] if match[2] else match[1].partition(".")[0]
        value = int(value)
    return whole(value, 1, BYTES_MOST)


def mapping(value: object) -> Mapping[str, Any]:
    """An object with names for keys, an empty one for all else."""
    return value if isinstance(value, Mapping) else {}


def words(value: object) -> tuple[str, ...]:
    """A list's words, those of it that are words."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return ()
    return tuple(word for word in value if isinstance(word, str))


def truth(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "on"))


def up(number: int, by: int) -> int:
    """How many times `by` it takes to hold `number`: a division that rounds up."""
    return -(-number // by)
