from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instances import model_facts
from instances.model_facts import Answer, HubSilent, known
from tests.instances.vllm.fit.made import QWEN3_8B, tensor, write_safetensors

HUB = Answer(QWEN3_8B, {"BF16": 8_190_735_360}, 16_400_000_000)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path / "models"]
    settings.HF_CACHE = tmp_path / "hub"
    settings.LLMOPS_DATA = tmp_path / "data"
    (tmp_path / "models" / "qwen").mkdir(parents=True)
    model_facts.forget()
    yield
    model_facts.forget()


def write_model(folder: Path, config: object = QWEN3_8B) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", {"a": tensor("BF16", 100)})


def test_a_folder_is_read(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "qwen")
    found = known(str(tmp_path / "models" / "qwen")).model
    assert found is not None and found.tensors is not None
    assert (found.config["hidden_size"], found.tensors.bytes, found.origin) == (4096, 200, "folder")


def test_a_folder_that_changes_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "qwen"
    write_model(folder)
    assert known(str(folder)).model is known(str(folder)).model
    write_safetensors(folder / "model.safetensors", {"a": tensor("BF16", 5000)})
    found = known(str(folder)).model
    assert found is not None and found.tensors is not None and found.tensors.bytes == 10_000


def test_a_folder_that_is_still_being_fetched_is_asked_of_its_hub(tmp_path: Path, settings: Any) -> None:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path / "data" / "models"]
    folder = tmp_path / "data" / "models" / "modelscope" / "Qwen" / "Qwen3-8B"
    write_model(folder)
    (folder / "b.safetensors.incomplete").write_bytes(b"half")
    found = known(str(folder), ask=lambda *_: HUB).model
    assert found is not None and found.origin == "hub"
    (folder / "b.safetensors.incomplete").unlink()
    found = known(str(folder), ask=lambda *_: pytest.fail("the hub was asked")).model
    assert found is not None and found.origin == "folder"


def test_a_folder_outside_the_roots_is_not_read(tmp_path: Path) -> None:
    write_model(tmp_path / "elsewhere")
    found = known(str(tmp_path / "elsewhere"))
    assert found.model is None and "outside the folders for models" in found.why


@pytest.mark.parametrize("text", ["", "[]", "{broken", "null", "[" * 100_000])
def test_a_broken_config_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "models" / "qwen" / "config.json").write_text(text)
    found = known(str(tmp_path / "models" / "qwen"))
    assert found.model is None and found.why.startswith("There is no config.json in ")


def test_a_complete_snapshot_of_the_cache_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--Qwen--Qwen3-8B"
    write_model(folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    found = known("Qwen/Qwen3-8B", ask=lambda *_: pytest.fail("the hub was asked")).model
    assert found is not None and found.origin == "cache"


def test_the_hub_is_asked_once_and_its_answer_kept() -> None:
    asked = []

    def ask(model: str, revision: str | None) -> Answer:
        asked.append(model)
        return HUB

    first, second = known("Qwen/Qwen3-8B", ask=ask).model, known("Qwen/Qwen3-8B", ask=ask).model
    assert asked == ["Qwen/Qwen3-8B"] and first == second
    assert first is not None and first.tensors is not None and first.tensors.bytes == 16_381_470_720


def test_a_kept_answer_is_read_without_asking() -> None:
    assert known("Qwen/Qwen3-8B").model is None
    known("Qwen/Qwen3-8B", ask=lambda *_: HUB)
    assert known("Qwen/Qwen3-8B").model is not None


def test_every_revision_has_an_answer_of_its_own() -> None:
    known("Qwen/Qwen3-8B", ask=lambda *_: HUB)
    assert known("Qwen/Qwen3-8B", "v2").model is None


def test_sizes_alone_are_an_answer() -> None:
    found = known("a/b", ask=lambda *_: Answer(QWEN3_8B, {}, 5000)).model
    assert found is not None and found.tensors is not None and found.tensors.bytes == 5000


@pytest.mark.parametrize(("everywhere", "others"), [(True, 0), (False, 1)])
def test_a_hub_that_is_silent_is_left_alone_for_a_while(everywhere: bool, others: int) -> None:
    asked = []

    def ask(model: str, revision: str | None) -> Answer:
        asked.append(model)
        raise HubSilent("The hub cannot be reached.", everywhere)

    for _ in range(3):
        assert known("a/b", ask=ask).why == "The hub cannot be reached."
    known("a/c", ask=ask)
    assert len(asked) == 1 + others


def test_an_old_answer_is_better_than_none(monkeypatch: Any) -> None:
    known("a/b", ask=lambda *_: HUB)
    monkeypatch.setattr(model_facts, "FRESH", -1.0)

    def ask(model: str, revision: str | None) -> Answer:
        raise HubSilent("The hub cannot be reached.")

    assert known("a/b", ask=ask).model is not None


def test_an_answer_that_was_damaged_is_asked_for_again(tmp_path: Path) -> None:
    known("a/b", ask=lambda *_: HUB)
    for path in (tmp_path / "data" / "cache" / "hub").iterdir():
        path.write_text("{half")
    assert known("a/b").model is None
    assert known("a/b", ask=lambda *_: HUB).model is not None


def test_a_folder_that_cannot_be_written_costs_only_the_memory(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.LLMOPS_DATA = tmp_path / "file"
    assert known("a/b", ask=lambda *_: HUB).model is not None
