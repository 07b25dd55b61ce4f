"""The house stands as drawn: imports go one way, and the plain rooms know no Django."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ORDER = ("accounts", "monitoring", "instances", "chat", "llmops")  # each may import those before it
# Functions that can be lifted out alone.
PLAIN = ("instances/launchers", "instances/vllm", "instances/logs", "instances/catalog")


def imported_by(path: Path) -> set[str]:
    """Top-level names of the absolute imports of a module, and `django` for Django's."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("app", ORDER)
def test_an_app_imports_only_those_below_it(app: str) -> None:
    above = set(ORDER[ORDER.index(app) + 1 :])
    for path in (ROOT / app).rglob("*.py"):
        assert not imported_by(path) & above, f"{path.relative_to(ROOT)} reaches up"


@pytest.mark.parametrize("room", PLAIN)
def test_a_plain_room_knows_no_django(room: str) -> None:
    paths = list((ROOT / room).rglob("*.py"))
    assert paths
    for path in paths:
        assert not imported_by(path) & {"django", "channels"}, path


def test_the_shim_needs_the_standard_library_alone() -> None:
    import sys

    foreign = imported_by(ROOT / "instances/launchers/shim.py") - set(sys.stdlib_module_names) - {"instances"}
    assert not foreign, foreign


def test_requirements_never_hold_vllm() -> None:
    assert "vllm" not in [
        line.split("=")[0].split(">")[0].strip().lower()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
    ]
