"""A pasted text and what a deploy would be given of it, with a reason for everything that is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from instances.vllm.schema import Schema
from instances.vllm.schema.removed import REMOVED
from instances.vllm.schema.schema import canonical

from . import composed, units
from .arguments import read_arguments
from .body import Body
from .invocation import Invocation
from .lines import cleaned, joined_lines, without_comment_signs
from .secrets import Secrets
from .shell import read_shell

LONGEST = 50_000  # characters; a compose file has 4,000
SHOWN = 160  # characters of what was left out
MOST_LEFT_OUT = 80
NOTHING_FOUND = (
    "No command that starts vLLM was found. Paste a line like “vllm serve Qwen/Qwen3-8B”, a docker run, "
    "a compose file or a systemd unit."
)


@dataclass(frozen=True)
class Pasted:
    """`configuration` has the keys of a deploy's body. Only `secrets` holds secrets: tokens of model hubs by name."""

    configuration: dict[str, Any] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def understood(self) -> bool:
        """Whether there was a command that starts vLLM."""
        return bool(self.configuration)

    @property
    def taken(self) -> int:
        """How many settings were taken: flags and variables one by one."""
        inner = ("args", "env")
        count = sum(key not in (*inner, "name") for key in self.configuration)
        return count + sum(len(self.configuration.get(key, ())) for key in inner)


def read(text: str, schema: Schema) -> Pasted:
    """Read any text; never fails. Paths come back as they were written, or as the host of a container has them."""
    notes: list[str] = []
    if len(text) > LONGEST:
        text = text[:LONGEST]
        notes.append(f"Only the first {LONGEST:,} characters were read.")
    plain = cleaned(text, notes)
    secrets = Secrets(f"{text}\n{plain}" if plain != text else text)
    invocation = _invocation(plain, schema, notes)
    if invocation is None:
        return Pasted(notes=[NOTHING_FOUND], secrets=secrets.hub)
    taken = read_arguments(invocation.words, schema)
    invocation.notes[:] = [*notes, *invocation.notes, *taken.notes]
    configuration = Body(invocation, taken, schema, secrets).configuration()
    left_out = [
        {"text": _shown(one.text, secrets), "why": secrets.without(one.why)}
        for one in invocation.left_out[:MOST_LEFT_OUT]
    ]
    if more := len(invocation.left_out[MOST_LEFT_OUT:]):
        left_out.append({"text": "…", "why": f"{more} more things were left out."})
    said = [secrets.without(note) for note in list(dict.fromkeys(invocation.notes))[:MOST_LEFT_OUT]]
    return Pasted(configuration, left_out, said, secrets.hub)


def masked(text: str) -> str:
    """A text to be shown again, without what looks like a secret."""
    return Secrets(text[:LONGEST]).masked(text[:LONGEST])


def _shown(text: str, secrets: Secrets) -> str:
    text = " ".join(secrets.masked(text[: 20 * SHOWN]).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _invocation(text: str, schema: Schema, notes: list[str]) -> Invocation | None:
    """By the kind of text, the most telling kind first."""

    def is_flag(word: str) -> bool:
        return word.startswith("-") and (schema.exact(word) is not None or canonical(word) in REMOVED)

    def shell(lines: str, said: list[str]) -> Invocation | None:
        return read_shell("\n".join(joined_lines(lines, is_flag, said)), said)

    kinds: list[Callable[[list[str]], Invocation | None]] = [lambda said: units.read_list(text, said)]
    if units.UNIT.search(text):
        kinds.append(lambda said: units.read_unit(text, is_flag, said))
    if units.DOCKERFILE.search(text):
        kinds.append(lambda said: units.read_dockerfile(text, is_flag, said))
    if composed.looks_like_yaml(text):
        kinds.append(lambda said: composed.read_yaml(text, said))
    kinds.append(lambda said: shell(text, said))
    if "vllm" in text:
        kinds.append(
            lambda said: composed.read_yaml(text, said) if re.search(r"(?m)^\s*[\w-]+:", text) else None
        )
        if (bare := without_comment_signs(text)) != text:
            kinds.append(lambda said: shell(bare, said))
    elif re.search(r"(?m)^model(?:_tag)?:\s*\S", text):
        kinds.append(lambda said: composed.read_yaml(text, said))
    for kind in kinds:
        said: list[str] = []
        found = kind(said)
        if found is not None:
            notes.extend(said)
            return found
    return None
