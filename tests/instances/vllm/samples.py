"""The log files beside the tests, as the cleaned lines that a reader gets."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def real(name: str) -> list[str]:
    """The output of a real start."""
    return _lines(HERE / "logs" / f"{name}.log")


def report(name: str) -> list[str]:
    """The lines of somebody's bug report."""
    return _lines(HERE / "reports" / f"{name}.log")


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode()
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
