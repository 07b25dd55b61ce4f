"""The revisions of an instance as a page tells them: what each changed, what differs between two, what ran of each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from . import cards
from .models import Instance, Launch, Revision
from .phase_bars import PhaseBar, phases_of

SHOWN = 100  # revisions of one instance, the newest
SHOWN_LAUNCHES = 20  # of each
ABSENT = ""


@dataclass(frozen=True)
class Difference:
    """One setting of two revisions; an empty side is automatic."""

    key: str
    left: str
    right: str

    @property
    def kind(self) -> str:
        if self.left == self.right:
            return "same"
        return "added" if not self.left else "removed" if not self.right else "changed"


@dataclass(frozen=True)
class LaunchLine:
    launch: Launch
    ending: str
    phases: list[PhaseBar]


@dataclass(frozen=True)
class RevisionLine:
    revision: Revision
    changes: list[Difference]  # against the one before it
    launches: list[LaunchLine]
    launch_count: int
    is_current: bool

    @property
    def summary(self) -> str:
        """`max_model_len 16384 → 32768, --seed added`; the first one says its model."""
        if self.revision.number == 1:
            return str(self.revision.config.get("model", ""))
        return ", ".join(_in_words(change) for change in self.changes) or _("nothing changed")


def _in_words(change: Difference) -> str:
    words = {"key": change.key, "left": _short(change.left), "right": _short(change.right)}
    if change.kind == "added":
        return _("%(key)s %(right)s added") % words
    if change.kind == "removed":
        return _("%(key)s taken out") % words
    return _("%(key)s %(left)s → %(right)s") % words


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def settings_of(revision: Revision) -> dict[str, str]:
    """All that it says, flat: `max_model_len`, `--seed` of its flags, `NAME` of its environment."""
    config = revision.config
    flat: dict[str, Any] = {"served_name": revision.served_name, "restart_policy": revision.restart_policy}
    flat |= {key: value for key, value in config.items() if key not in ("args", "env")}
    flat |= {f"--{flag}": value for flag, value in (config.get("args") or {}).items()}
    flat |= dict(config.get("env") or {})
    return {key: shown(value) for key, value in flat.items()}


def shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def differences(left: Revision, right: Revision) -> list[Difference]:
    """Every setting of either, in the order of the left one and then of the right one."""
    ours, theirs = settings_of(left), settings_of(right)
    keys = dict.fromkeys((*ours, *theirs))
    return [Difference(key, ours.get(key, ABSENT), theirs.get(key, ABSENT)) for key in keys]


def changes(left: Revision, right: Revision) -> list[Difference]:
    return [one for one in differences(left, right) if one.kind != "same"]


def lines_of(instance: Instance) -> list[RevisionLine]:
    """Newest first, each with its newest launches: two queries."""
    found = list(instance.revisions.select_related("author")[: SHOWN + 1])
    before: Mapping[int, Revision] = {one.number: older for one, older in itertools.pairwise(found)}
    launches = _launches_of(found)
    return [
        RevisionLine(
            revision=one,
            changes=changes(before[one.number], one) if one.number in before else [],
            launches=launches.get(one.pk, [])[:SHOWN_LAUNCHES],
            launch_count=len(launches.get(one.pk, [])),
            is_current=one.pk == instance.revision_id,
        )
        for one in found[:SHOWN]
    ]


def _launches_of(revisions: Iterable[Revision]) -> dict[int, list[LaunchLine]]:
    launches = Launch.objects.with_people().filter(revision__in=[one.pk for one in revisions])
    found: dict[int, list[LaunchLine]] = {}
    for launch in launches:
        line = LaunchLine(launch, cards.ending_of(launch), phases_of(launch))
        found.setdefault(launch.revision_id, []).append(line)
    return found


@dataclass(frozen=True)
class Comparison:
    left: Revision
    right: Revision

    @property
    def rows(self) -> list[Difference]:
        """What differs first."""
        return sorted(differences(self.left, self.right), key=lambda one: one.kind == "same")

    @property
    def differing(self) -> int:
        return len(changes(self.left, self.right))


def compared(lines: list[RevisionLine], left: int, right: int) -> Comparison | None:
    """The two that were asked for, the older one left; else the newest and the one before it."""
    by_number = {line.revision.number: line.revision for line in lines}
    numbers = sorted({left, right} & set(by_number)) if left and right else sorted(by_number)[-2:]
    if len(numbers) < 2:
        return None
    return Comparison(by_number[numbers[0]], by_number[numbers[1]])
