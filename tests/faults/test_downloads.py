"""Launches whose model must be fetched first, from a hub on loopback. Rows 13, 23, 31 and 38 on that path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instances.catalog import cache
from tests.console import Console, eventually, fake_vllm_in
from tests.fakes.fake_hub import DEMO, FakeHub
from tests.faults.engines import ask, deploy, kill, launches, page

pytestmark = pytest.mark.xdist_group("hub")

WEIGHTS = (DEMO / "model.safetensors").read_bytes()
HALF = len(WEIGHTS) // 2


@pytest.fixture(scope="module")
def _hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


@pytest.fixture
def hub(_hub: FakeHub) -> Iterator[FakeHub]:
    """Without knobs turned, before a test and after it."""
    yield _hub
    _hub.go.set()
    _hub.go.clear()
    _hub.holds.clear()
    _hub.models.clear()
    _hub.sent.clear()


@pytest.fixture(scope="module")
def _console(_hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Its engine is the fake one in the environment of the tests' Python, which runs the downloads too."""
    folder = tmp_path_factory.mktemp("hub")
    places = {"HF_ENDPOINT": _hub.url, "MODELSCOPE_ENDPOINT": _hub.url, "HF_HOME": str(folder / "hf")}
    console = Console(folder / "data", vllm=fake_vllm_in(folder), LLMOPS_MAX_INSTANCES="2", **places)
    try:
        console.start()
        console.make_administrator()
        yield console
    finally:
        console.close()


@pytest.fixture
def host(_console: Console) -> Iterator[Console]:
    yield _console
    if _console.process is None:
        _console.start()
    _console.remove_all()


@pytest.fixture
def model(hub: FakeHub, request: pytest.FixtureRequest) -> str:
    """A model of the hub that nobody has fetched yet."""
    name = f"tiny/{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"
    hub.add(name, {path.name: path.read_bytes() for path in DEMO.iterdir()})
    return name


def snapshot(host: Console, model: str) -> Path | None:
    return cache.snapshot(Path(host.environment["HF_HOME"]) / "hub", model)


def fetching(host: Console, hub: FakeHub, model: str, name: str) -> tuple[int, dict[str, Any]]:
    """A deploy whose download has come half of the way and waits there; the id, and the launch."""
    hub.holds["model.safetensors"] = HALF

    def seen() -> dict[str, Any] | None:
        launch: dict[str, Any] = host.instance(instance_id)["launch"] or {}
        return launch if (launch.get("progress") or [0])[0] >= 40 else None

    instance_id = deploy(host, name, model=model)
    launch = eventually(seen, what=lambda: f"half of it came: {host.instance(instance_id)}")
    assert launch is not None
    return instance_id, launch


def test_a_launch_waits_for_its_model_shows_how_far_it_is_and_then_runs(
    host: Console, hub: FakeHub, model: str
) -> None:
    instance_id, launch = fetching(host, hub, model, "waits")
    assert (launch["state"], launch["phase"], launch["pid"]) == ("initializing", "download", None)
    assert f"Downloading {model}: 1 MB of 2 MB" in page(host, f"/instances/{instance_id}/")
    hub.go.set()
    running = host.reaches(instance_id, "running")["launch"]
    assert running["id"] == launch["id"] and running["progress"] is None
    assert (
        launches(host, instance_id)[0]["phases"]["fetched"] > 0
    )  # and so the page does not say "not needed"
    found = snapshot(host, model)
    assert found is not None and (found / "model.safetensors").read_bytes() == WEIGHTS


def test_a_model_of_modelscope_comes_into_its_own_folder(host: Console, hub: FakeHub, model: str) -> None:
    path = host.data / "models" / "modelscope" / model
    instance_id = deploy(host, "modelscope", model=str(path))
    host.reaches(instance_id, "running")
    assert cache.is_complete(path)


def test_row_13_a_model_that_no_hub_has_is_final_in_the_hubs_own_words(host: Console, hub: FakeHub) -> None:
    instance_id = deploy(host, "unknown", model="no/such")
    found = host.reaches(instance_id, "error")
    assert found["launch"]["error"] == "The Hugging Face hub has no model no/such."
    assert "Check its name." in page(host, f"/instances/{instance_id}/")
    assert found["restart"] is None and len(launches(host, instance_id)) == 1


def test_row_13_a_gated_model_says_where_its_licence_is(host: Console, hub: FakeHub, model: str) -> None:
    hub.models[model].gated = True
    instance_id = deploy(host, "gated", model=model)
    found = host.reaches(instance_id, "error")
    assert "is gated" in found["launch"]["error"] and found["restart"] is None
    assert f"{hub.url}/{model}" in page(host, f"/instances/{instance_id}/")


def test_row_23_beyond_the_limit_nothing_is_fetched(host: Console, hub: FakeHub, model: str) -> None:
    for name in "ab":
        deploy(host, name)
    third = host.api("POST", "/api/models/deploy", json={"name": "c", "model": model})
    assert third.status_code == 409 and "2 of 2 instances should run already" in third.json()["detail"]
    assert not hub.sent_of("model.safetensors")


def test_row_31_a_console_that_is_killed_while_a_model_comes_neither_loses_nor_repeats_it(
    host: Console, hub: FakeHub, model: str
) -> None:
    instance_id, launch = fetching(host, hub, model, "outlives")
    assert host.process is not None
    kill(host.process.pid)
    host.process.wait()
    hub.go.set()
    host.start()
    again = host.reaches(instance_id, "running")["launch"]
    assert again["id"] == launch["id"] and len(launches(host, instance_id)) == 1
    assert hub.sent_of("model.safetensors") == len(WEIGHTS)


def test_a_stop_ends_the_download_and_the_next_start_goes_on_from_there(
    host: Console, hub: FakeHub, model: str
) -> None:
    instance_id, _ = fetching(host, hub, model, "goes-on")
    ask(host, instance_id, "stop")
    host.reaches(instance_id, "stopped")
    assert snapshot(host, model) is None
    incomplete = (Path(host.environment["HF_HOME"]) / "hub").glob(
        f"models--{model.replace('/', '--')}/**/*.incomplete"
    )
    assert [path.stat().st_size for path in incomplete] == [HALF]
    hub.go.set()
    ask(host, instance_id, "start")
    host.reaches(instance_id, "running")
    assert [one.start for one in hub.sent if one.name == "model.safetensors"] == [0, HALF]


def test_row_38_a_link_that_was_laid_where_a_model_belongs_is_not_followed(
    host: Console, hub: FakeHub, model: str, tmp_path: Path
) -> None:
    path = host.data / "models" / "modelscope" / model
    instance_id = deploy(host, "swapped", model=str(path), start=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path)
    ask(host, instance_id, "start")
    found = host.reaches(instance_id, "error")
    assert "is outside the folders for models" in found["launch"]["error"] and found["restart"] is None
    assert not list(tmp_path.iterdir())
