"""The flags of one version of vLLM: found by any spelling, by a near name, or by words.

A schema is what `dump.py` wrote. That of the pinned version ships with the console; those of other engines
lie in the data folder. All are read once and kept, so that a page may ask every time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Kind = Literal["switch", "whole", "number", "size", "text", "json", "either"]  # either: JSON or plain text

SHIPPED = Path(__file__).parent / "0.32.0.json"
LEVEL = re.compile(r"-O=?(\d+)")
NEAR = 0.6  # of difflib, as its own default
SENTENCE = re.compile(r"(.+?[.!?])(?=\s+[A-Z`(\"'-]|$)")


@dataclass(frozen=True)
class Flag:
    """One flag of `vllm serve`. `name` has no dashes; `spellings` are all of its names with theirs."""

    name: str
    spellings: tuple[str, ...]
    group: str  # as vLLM calls it, such as "ModelConfig"
    help: str
    kind: Kind
    default: Any = None  # None: nothing, or what the engine works out itself
    choices: tuple[str, ...] = ()  # nothing else is allowed
    suggested: tuple[str, ...] = ()  # other values are allowed too
    keys: tuple[str, ...] = ()  # of a JSON value; empty: not known
    several: bool = False
    optional: bool = False  # the value may be left out
    deprecated: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        found = SENTENCE.match(self.help)
        return found[1] if found else self.help

    @property
    def negated(self) -> str | None:
        """The spelling that switches it off, if it has one."""
        return next((one for one in self.spellings if one.startswith("--no-")), None)

    @property
    def group_label(self) -> str:
        """ "StructuredOutputsConfig" as "Structured outputs"."""
        bare = self.group.removesuffix("Config")
        if bare.lower() in ("vllm", "lora"):
            return {"vllm": "vLLM", "lora": "LoRA"}[bare.lower()]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare).capitalize()


@dataclass(frozen=True)
class Spelling:
    """What a written name means: `--no-x` is `x` negated, `--x.a.b` is `x` with the keys a and b."""

    flag: Flag
    negated: bool = False
    keys: tuple[str, ...] = ()
    value: str | None = None  # only of `-O3`, whose value is part of the word


@dataclass(frozen=True)
class Schema:
    """All flags of one version. `stands_in_for` is the engine's version, where only another one's flags are known."""

    version: str
    flags: Mapping[str, Flag]
    stands_in_for: str = ""
    _long: Mapping[str, tuple[Flag, bool]] = field(repr=False, default_factory=dict)
    _short: Mapping[str, Flag] = field(repr=False, default_factory=dict)
    _words: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def is_older(self) -> bool:
        """Whether the engine is older than the version that ships; its own flags may not be known then."""
        engine = self.stands_in_for or self.version
        return engine != "unknown" and _numbers(engine) < _numbers(shipped().version)

    @property
    def groups(self) -> tuple[str, ...]:
        """In vLLM's own order."""
        return tuple(dict.fromkeys(flag.group for flag in self.flags.values()))

    def of_group(self, group: str) -> list[Flag]:
        return [flag for flag in self.flags.values() if flag.group == group]

    def find(self, name: str) -> Flag | None:
        """The flag that vLLM would take this spelling for; None when there is none or more than one."""
        spelling = self.spelling(name)
        return spelling.flag if spelling else None

    def spelling(self, name: str) -> Spelling | None:
        """As vLLM reads a name: dashes or underscores, short names, any unambiguous beginning, dotted keys.

        Without leading dashes it is a long name, or else a short one. A value after `=` is not looked at.
        """
        word = name.strip().partition("=")[0]
        if level := LEVEL.fullmatch(name.strip()):
            flag = self.flags.get("optimization-level")
            return Spelling(flag, value=level[1]) if flag else None
        base, _dot, rest = word.partition(".")
        keys = tuple(rest.removesuffix("+").split(".")) if rest else ()
        bare = base.lstrip("-")
        if not base.startswith("--") and (short := self._short.get(bare)):
            return Spelling(short, keys=keys)
        if base.startswith("-") and not base.startswith("--"):
            return None
        matching = self._matching(bare.replace("_", "-").lower())
        if len({flag.name for flag, _negated in matching}) != 1:
            return None
        flag, negated = matching[0]
        return Spelling(flag, negated, keys)

    def exact(self, name: str) -> Flag | None:
        """The flag with this whole name, in any case and with dashes or underscores."""
        found = self._long.get(canonical(name))
        return found[0] if found else self._short.get(name.strip().lstrip("-"))

    def beginning_with(self, name: str) -> tuple[str, ...]:
        """The flags that a beginning of a name could mean, in the schema's order."""
        return tuple(dict.fromkeys(flag.name for flag, _negated in self._matching(canonical(name))))

    def nearest(self, name: str, likeness: float = NEAR) -> tuple[str, ...]:
        """Up to three names that may have been meant, the nearest first.

        With another `likeness` (0 to 1, of difflib) only those that are written that much alike.
        """
        bare = canonical(name)
        near = get_close_matches(bare, self._long, n=6, cutoff=likeness)
        if likeness != NEAR:
            return tuple(dict.fromkeys(self._long[one][0].name for one in near))[:3]
        words = {word for word in bare.split("-") if len(word) > 2}
        alike = sorted(
            (one for one in self.flags if len(words & set(one.split("-"))) >= max(2, len(words) - 1)),
            key=len,
        )
        return tuple(dict.fromkeys(self._long[one][0].name for one in [*near, *alike]))[:3]

    def search(self, text: str) -> list[Flag]:
        """The flags that have every word somewhere: names first, help texts last. Empty for no words."""
        words = text.lower().replace("_", "-").replace("--", " ").split()
        if not words:
            return []
        found = [
            flag for flag in self.flags.values() if all(word in self._words[flag.name] for word in words)
        ]
        return sorted(found, key=lambda flag: _distance(flag, words))

    def _matching(self, name: str) -> list[tuple[Flag, bool]]:
        if whole := self._long.get(name):
            return [whole]
        if not name:
            return []
        return [found for long, found in self._long.items() if long.startswith(name)]


def canonical(name: str) -> str:
    """A written name as schemas keep it: without leading dashes, value and keys, with dashes inside."""
    return name.strip().partition("=")[0].partition(".")[0].lstrip("-").replace("_", "-").lower()


def shipped() -> Schema:
    """That of the version which the console pins; it works before an engine does."""
    return load(SHIPPED)


def of_engine(slug: str, version: str, folder: Path) -> Schema:
    """The flags of an engine: those that it told itself (`<slug>.json` in `folder`), or else the shipped ones.

    The latter stand in where the engine has another version. What another engine told that stood in this place
    before does not count.
    """
    engine = version.partition("+")[0]
    own = _told(folder / f"{slug}.json")
    if own and (own.version == engine or "unknown" in (own.version, engine)):
        return own
    known = shipped()
    return known if engine == known.version else _standing_in(engine)


def _told(path: Path) -> Schema | None:
    """What an engine told; None where it did not yet, or the file is not whole."""
    try:
        return load(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load(path: Path) -> Schema:
    """Read a file of `dump.py`. Raises OSError, ValueError, KeyError and TypeError."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _standing_in(version: str) -> Schema:
    known = shipped()
    return Schema(known.version, known.flags, version or "unknown", known._long, known._short, known._words)


@lru_cache(maxsize=32)
def _read(path: Path, _changed: int) -> Schema:
    content = json.loads(path.read_text())
    return _schema(str(content["version"]), [_flag(one) for one in content["flags"]])


def _flag(facts: Mapping[str, Any]) -> Flag:
    return Flag(
        name=facts["name"],
        spellings=tuple(facts["spellings"]),
        group=facts["group"],
        help=facts.get("help", ""),
        kind=facts["kind"],
        default=facts.get("default"),
        choices=tuple(facts.get("choices", ())),
        suggested=tuple(facts.get("suggested", ())),
        keys=tuple(facts.get("keys", ())),
        several=facts.get("several", False),
        optional=facts.get("optional", False),
        deprecated=facts.get("deprecated", False),
    )


def _schema(version: str, flags: list[Flag]) -> Schema:
    long: dict[str, tuple[Flag, bool]] = {}
    short: dict[str, Flag] = {}
    for flag in flags:
        for spelling in flag.spellings:
            if not spelling.startswith("--"):
                short[spelling[1:]] = flag
            elif spelling == flag.negated:
                long[spelling[2:]] = (flag, True)
            else:
                long[spelling[2:]] = (flag, False)
    if level := next((flag for flag in flags if flag.name == "optimization-level"), None):
        short["O"] = level  # vLLM rewrites it before its parser looks
    words = {
        flag.name: " ".join([flag.name, *flag.spellings, flag.group, flag.group_label, flag.help]).lower()
        for flag in flags
    }
    return Schema(
        version,
        MappingProxyType({flag.name: flag for flag in flags}),
        "",
        MappingProxyType(long),
        MappingProxyType(short),
        MappingProxyType(words),
    )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _distance(flag: Flag, words: list[str]) -> tuple[int, int, str]:
    """For sorting: the whole name, its beginning, its words, a part of it, and last the help alone."""
    phrase = "-".join(words)
    if f"-{phrase}" in flag.spellings or flag.name == phrase:
        rank = 0
    elif flag.name.startswith(phrase):
        rank = 1
    elif phrase in flag.name:
        rank = 2
    elif all(word in flag.name for word in words):
        rank = 3
    else:
        rank = 4
    return rank, len(flag.name) if rank < 4 else 0, flag.name
