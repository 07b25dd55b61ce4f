"""The shape of a cause, and the words that several of them work out from a log line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Groups = Mapping[str, str]
Change = Callable[[Groups], Mapping[str, Any] | None] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Cause:
    """One way to end. `cause` and `advice` are format strings over the pattern's groups; a group that took no
    part reads as an empty text. `change` is what to lay over the configuration, see `verdict.Diagnosis`.
    """

    code: str
    patterns: tuple[str, ...]
    cause: str
    advice: str
    final: bool = False  # the same start would fail in the same way
    phases: tuple[str, ...] = ()  # only when the engine ended in one of these, or while "serving"
    any_level: bool = False  # the proof is a line of level INFO or WARNING
    at_once: bool = False  # nothing goes on after it: a start that got on has survived it
    derive: Callable[[Groups], Mapping[str, str] | None] | None = None  # further words; None: it is not this
    change: Change = None

    def change_for(self, groups: Groups) -> Mapping[str, Any] | None:
        return self.change(groups) if callable(self.change) else self.change


def whole(text: str) -> int:
    """`262,144` and `32768.0` as numbers."""
    return int(float(text.replace(",", "")))


def thousands(groups: Groups) -> dict[str, str]:
    """Whole numbers of tokens, easier to read."""
    return {name: f"{whole(text):,}" for name, text in groups.items() if text.replace(",", "").isdigit()}


def flag_name(flag: str) -> str:
    """`--limit-mm-per-prompt/-x` as a key of `args`."""
    return flag.split("/")[0].lstrip("-").replace("_", "-")


def divisor_below(number: int, size: int) -> int:
    """The largest tensor parallel size under `size` that divides `number`."""
    return next((smaller for smaller in range(size - 1, 0, -1) if number % smaller == 0), 1)
