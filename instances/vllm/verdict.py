"""What is said about a launch that ended or was given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EVIDENCE_LIMIT = 2_000  # characters of a quoted line


@dataclass(frozen=True)
class Diagnosis:
    """Why a launch ended. `final`: it is no use to start it again unchanged.

    `change` holds keys of the body of a deploy, to be laid over the configuration: `args` and `env` key by
    key, None takes a key out. `line` is where the evidence begins in the lines that were given.
    """

    code: str
    cause: str  # one sentence for a person
    advice: str  # what to change, one sentence
    evidence: str  # the log's lines as they stand, or ""
    final: bool
    change: Mapping[str, Any] | None = None
    line: int | None = None
