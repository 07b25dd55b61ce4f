"""Texts that people pasted, and what they are read as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instances.vllm.pasted import Pasted, read
from instances.vllm.schema import shipped

CASES = Path(__file__).parent / "cases"
NUMBERS = sorted(path.stem for path in CASES.glob("*.txt"))


def case(number: str) -> str:
    return (CASES / f"{number}.txt").read_text()


def found(text: str) -> Pasted:
    return read(text, shipped())


def body(text: str) -> dict[str, Any]:
    """The configuration without the name, which is made up."""
    return {key: value for key, value in found(text).configuration.items() if key != "name"}


def args(text: str) -> dict[str, Any]:
    read_args: dict[str, Any] = found(text).configuration.get("args", {})
    return read_args


def left(pasted: Pasted) -> str:
    """All that was left out, one a line, with its reason."""
    return "\n".join(f"{one['text']} | {one['why']}" for one in pasted.left_out)


def notes(text: str) -> str:
    return "\n".join(found(text).notes)
