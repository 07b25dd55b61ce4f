"""A real console with two fake engines: an instance is moved from one to the other, and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console import Console, eventually
from tests.fakes import fake_installed

OTHER = "0.31.0"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Console]:
    """The default engine is 0.32.0, and 0.31.0 stands beside it."""
    fake_installed.install(tmp_path / "engines", OTHER)
    console = Console(tmp_path / "data", LLMOPS_ENGINES=str(tmp_path / "engines"))
    console.start()
    console.make_administrator()
    yield console
    console.close()


def restarted(console: Console, pk: int, state: str) -> dict[str, Any]:
    before = console.instance(pk)["launch"]["id"]
    console.api("POST", f"/api/models/{pk}/restart")
    eventually(lambda: console.instance(pk)["launch"]["id"] != before, what="another launch")
    return console.reaches(pk, state)


def version_of(console: Console, pk: int) -> str:
    """As the engine of the current launch says it itself."""
    said = console.api("GET", f"/api/models/{pk}/logs", params={"search": "LLM engine (v"}).json()["lines"]
    text: str = said[-1]["text"]
    return text.partition("(v")[2].partition(")")[0]


def test_an_instance_is_moved_to_another_engine_and_back(two: Console, tmp_path: Path) -> None:
    pk = two.api("POST", "/api/models/deploy", json={"name": "tiny", "preset": "tiny-demo"}).json()["id"]
    two.reaches(pk, "running")
    assert version_of(two, pk) == "0.32.0"

    assert two.api("PATCH", f"/api/models/{pk}", json={"engine": OTHER}).status_code == 200
    assert version_of(two, pk) == "0.32.0"  # it takes a restart
    restarted(two, pk, "running")
    assert version_of(two, pk) == OTHER
    assert two.api("DELETE", f"/api/engines/cpu-{OTHER}").status_code == 409

    shutil.rmtree(tmp_path / "engines" / f"cpu-{OTHER}")
    gone = restarted(two, pk, "error")
    assert gone["launch"]["error"] == f"There is no engine {OTHER}+cpu on this host."

    assert two.api("PATCH", f"/api/models/{pk}", json={"engine": None}).status_code == 200
    restarted(two, pk, "running")
    assert version_of(two, pk) == "0.32.0"


def test_a_new_engine_is_asked_for_its_flags_and_the_form_knows_them(two: Console) -> None:
    def told() -> dict[str, Any] | None:
        rows = two.api("GET", "/api/engines").json()
        return next((row for row in rows if row["flags_version"] == OTHER), None)

    found = eventually(told, what="the flags of the other engine")
    assert found and found["slug"] == f"cpu-{OTHER}" and found["flags"] > 100
