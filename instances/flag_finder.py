"""Finds flags to add: by words, or group by group. It says of each what may be done with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.utils.functional import cached_property

from .flag_rows import default_of, kind_of
from .vllm.flags import refused_name
from .vllm.refusals import FIELDS
from .vllm.schema import Flag, Schema
from .vllm.schema.judging import unjudged, unknown
from .vllm.schema.removed import REMOVED, Removed
from .vllm.schema.schema import canonical

MOST = 30  # flags shown at once for words


@dataclass(frozen=True)
class Found:
    """One flag. `field` names the form's own field for it; `refused` says why nobody may set it."""

    flag: Flag
    is_set: bool
    field: str
    refused: str

    @property
    def kind(self) -> str:
        return kind_of(self.flag)

    @property
    def default(self) -> str:
        return default_of(self.flag)

    @property
    def may_be_added(self) -> bool:
        return not (self.is_set or self.field or self.refused)


@dataclass(frozen=True)
class Group:
    name: str
    label: str
    found: list[Found]


class Finder:
    """What stands under the search field. `taken` are the flags that have a row, as they were written."""

    def __init__(self, flags: Schema, text: str = "", group: str = "", taken: Collection[str] = ()) -> None:
        self.flags = flags
        self.text = text.strip()
        self.group = group if group in flags.groups and not self.text else ""
        self._taken = {flag.name for name in taken if (flag := flags.find(name))}

    @cached_property
    def hits(self) -> list[Flag]:
        if self.text:
            name = self.text.split()[0].partition("=")[0] if self.text.startswith("-") else self.text
            found = self.flags.search(name)
            exact = self.flags.find(name) if " " not in name else None
            return found if exact is None or exact in found else [exact, *found]
        return self.flags.of_group(self.group) if self.group else []

    @property
    def groups(self) -> list[Group]:
        """The groups of what was found, that of the best first. With nothing asked for: all groups, empty."""
        shown = self.hits[:MOST] if self.text else self.hits
        names = dict.fromkeys(flag.group for flag in shown)
        return [self._group(name, [flag for flag in shown if flag.group == name]) for name in names]

    @property
    def all_groups(self) -> list[tuple[str, str, int]]:
        """(name, label, number of flags), in vLLM's order."""
        return [
            (name, members[0].group_label, len(members))
            for name in self.flags.groups
            if (members := self.flags.of_group(name))
        ]

    @property
    def group_label(self) -> str:
        return self.hits[0].group_label if self.group else ""

    @property
    def more(self) -> int:
        """How many were found and are not shown."""
        return max(0, len(self.hits) - MOST) if self.text else 0

    @property
    def count(self) -> int:
        return len(self.flags.flags)

    @property
    def best(self) -> str:
        """What Enter adds: the text itself where it names a flag or finds none, else the best hit that may be set."""
        if not self.text or self.text.startswith("-") or self.flags.find(self._word) or self._gone:
            return self.text
        hits = [found for flag in self.hits if (found := self._found(flag)).may_be_added]
        return hits[0].flag.name if hits else self.hits[0].name if self.hits else self.text

    @property
    def advice(self) -> str:
        """What to say of a name that is gone, or that nothing is like: what replaced it, the nearest names."""
        if self._gone:
            return (
                f"vLLM {self.flags.version} has no --{canonical(self._word)} any more. {self._gone.instead}"
            )
        return unknown(self._word, self.flags) if self.text and not self.hits else ""

    @property
    def _word(self) -> str:
        return (self.text.split() or [""])[0]

    @property
    def _gone(self) -> Removed | None:
        return None if self.flags.exact(self._word) else REMOVED.get(canonical(self._word))

    def _group(self, name: str, flags: list[Flag]) -> Group:
        found = [self._found(flag) for flag in flags]
        if self.group:
            found.sort(key=lambda one: bool(one.refused or one.field))  # those that one may set come first
        return Group(name, flags[0].group_label, found)

    def _found(self, flag: Flag) -> Found:
        field = FIELDS.get(flag.name, "")
        refused = "" if field else refused_name(flag.name) or unjudged(flag, self.flags) or ""
        return Found(flag, flag.name in self._taken, field, refused)
