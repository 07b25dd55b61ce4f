from __future__ import annotations

import json
from pathlib import Path

import pytest

from instances.catalog import cache

SHA = "a" * 40
CONFIG = {"config.json": "{}"}


def fill(folder: Path, *names: str, **contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    for name, text in contents.items():
        (folder / name).write_text(text)
    return folder


def index(*names: str) -> str:
    return json.dumps({"weight_map": {f"layer {n}": name for n, name in enumerate(names)}})


@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "model.safetensors"),
        ("config.json", "pytorch_model.bin"),
        ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
        ("params.json", "consolidated.safetensors"),
        ("config.json", "consolidated.safetensors"),
    ],
)
def test_a_whole_model_lacks_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert cache.missing(fill(tmp_path, *names)) == ""


@pytest.mark.parametrize(
    ("names", "lacks"),
    [
        ((), "no files"),
        (("model.safetensors",), "config.json"),
        (("config.json", "tokenizer.json"), "weights"),
        (("config.json", "model-00001-of-00002.safetensors"), "model-00002-of-00002.safetensors"),
        (("config.json", "model.safetensors", "model.safetensors.incomplete"), "the end of its download"),
    ],
)
def test_what_a_half_model_lacks_is_named(tmp_path: Path, names: tuple[str, ...], lacks: str) -> None:
    assert cache.missing(fill(tmp_path, *names)) == lacks


def test_the_index_tells_which_parts_there_must_be(tmp_path: Path) -> None:
    fill(tmp_path, "config.json", "a.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index("a.safetensors", "b.safetensors"))
    assert cache.missing(tmp_path) == "b.safetensors"
    fill(tmp_path, "b.safetensors")
    assert cache.is_complete(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"weight_map": 7}', '{"weight_map": {"a": 7}}', "[" * 100_000]
)
def test_an_index_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    fill(tmp_path, "config.json", "a.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert cache.missing(tmp_path) == "a readable model.safetensors.index.json"


def test_a_link_to_a_blob_that_is_gone_is_no_file(tmp_path: Path) -> None:
    fill(tmp_path, "config.json")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "gone")
    assert cache.missing(tmp_path) == "weights"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert cache.missing(tmp_path / "gone") == "its folder"


def test_the_other_kind_of_weights_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path, "config.json", "model.safetensors")
    assert cache.is_complete(tmp_path) and not cache.is_complete(tmp_path, mistral=True)
    fill(tmp_path, "consolidated.safetensors")
    assert cache.is_complete(tmp_path, mistral=True)


def test_a_snapshot_is_found_by_branch_and_by_commit(tmp_path: Path) -> None:
    storage = cache.storage(tmp_path, "a/b")
    folder = fill(storage / "snapshots" / SHA, "config.json", "model.safetensors")
    assert cache.snapshot(tmp_path, "a/b", SHA) == folder
    assert cache.snapshot(tmp_path, "a/b") is None
    fill(storage / "refs" / "refs", main=SHA)
    fill(storage / "refs", main=SHA)
    assert cache.snapshot(tmp_path, "a/b") == folder == cache.snapshot(tmp_path, "a/b", "refs/main")


@pytest.mark.parametrize(
    ("model", "revision"),
    [
        ("../x", None),
        ("a/../b", None),
        ("/etc", None),
        ("a/b/c", None),
        ("", None),
        ("a/b", ".."),
        ("a/b", "../../x"),
    ],
)
def test_a_name_that_leads_elsewhere_finds_nothing(tmp_path: Path, model: str, revision: str | None) -> None:
    fill(tmp_path, "config.json", "model.safetensors")
    fill(tmp_path / "x", "config.json", "model.safetensors")
    assert cache.snapshot(tmp_path / "hub", model, revision) is None
