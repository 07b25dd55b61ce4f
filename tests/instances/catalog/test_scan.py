from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instances.catalog.scan import Here, scan
from tests.instances.vllm.fit.made import QWEN3_8B, tensor, write_safetensors

SHA, OLD = "a" * 40, "b" * 40
CONFIG = {**QWEN3_8B, "architectures": ["Qwen3ForCausalLM"]}


def make(folder: Path, config: Any = CONFIG, *, weights: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if weights:
        write_safetensors(folder / "model.safetensors", {"a": tensor("BF16", 1000)})
    return folder


def cached(cache: Path, model: str = "Qwen/Qwen3-8B", sha: str = SHA, *, main: bool = True) -> Path:
    """As the Hugging Face cache has it: links to blobs."""
    storage = cache / f"models--{model.replace('/', '--')}"
    folder = storage / "snapshots" / sha
    made = make(storage / "made")
    (storage / "blobs").mkdir(exist_ok=True)
    folder.mkdir(parents=True)
    for path in sorted(made.iterdir()):
        blob = storage / "blobs" / path.name
        path.replace(blob)
        (folder / path.name).symlink_to(os.path.relpath(blob, folder))
    made.rmdir()
    if main:
        (storage / "refs").mkdir(exist_ok=True)
        (storage / "refs" / "main").write_text(sha)
    return folder


def only(roots: list[Path], cache: Path | None = None) -> Here:
    (here,) = scan(roots, cache)
    return here


def test_a_folder_of_a_root_is_told_by_its_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine" / "qwen")
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert only([tmp_path]) == Here(
        model=str(folder),
        folder=folder,
        where="root",
        revision="",
        architecture="Qwen3ForCausalLM",
        parameters=1000,
        dtype="bfloat16",
        quantization="",
        task="generate",
        size=size,
        missing="",
    )


def test_a_model_of_the_cache_has_its_hub_name_and_each_blob_is_counted_once(tmp_path: Path) -> None:
    cached(tmp_path)
    folder = cached(tmp_path, sha=OLD, main=False).parent / SHA
    here = only([], tmp_path)
    blobs = sum(path.stat().st_size for path in folder.parents[1].joinpath("blobs").iterdir())
    assert (here.model, here.where, here.revision, here.folder) == ("Qwen/Qwen3-8B", "cache", SHA, folder)
    assert (here.size, here.missing, here.branch) == (blobs + len(SHA), "", "")


def test_a_cached_model_without_its_main_branch_names_the_commit_to_ask_for(tmp_path: Path) -> None:
    cached(tmp_path, main=False)
    assert only([], tmp_path).branch == SHA


def test_a_whole_revision_is_preferred_to_a_half_one(tmp_path: Path) -> None:
    half = cached(tmp_path)
    cached(tmp_path, sha=OLD, main=False)
    (half / "model.safetensors").unlink()
    here = only([], tmp_path)
    assert (here.revision, here.missing) == (OLD, "")


def test_a_download_that_is_under_way_lacks_its_end(tmp_path: Path) -> None:
    folder = cached(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder.parents[1] / "blobs" / "abc.incomplete").write_bytes(b"x" * 500)
    here = only([], tmp_path)
    assert here.missing == "the end of its download" and here.size > 500


def test_a_cache_that_is_also_a_root_is_listed_once(tmp_path: Path) -> None:
    cached(tmp_path / "hf" / "hub")
    assert [here.where for here in scan([tmp_path, tmp_path / "hf" / "hub"], tmp_path / "hf" / "hub")] == [
        "cache"
    ]


def test_models_that_we_fetch_tell_from_where(tmp_path: Path) -> None:
    make(tmp_path / "modelscope" / "Qwen" / "Qwen3-8B")
    make(tmp_path / "smollm2-135m-instruct")
    assert {here.where for here in scan([tmp_path], None)} == {"modelscope", "package"}


def test_a_quantised_one_says_how_and_its_numbers_are_reckoned_from_its_shape(tmp_path: Path) -> None:
    make(tmp_path / "q", {**CONFIG, "quantization_config": {"quant_method": "awq", "bits": 4}})
    here = only([tmp_path])
    assert here.quantization == "awq" and here.parameters == 8_190_735_360


@pytest.mark.parametrize(
    ("name", "config", "task"),
    [
        ("q", {"architectures": ["LlamaForCausalLM"]}, "generate"),
        ("q", {"architectures": ["Qwen2_5_VLForConditionalGeneration"]}, "generate"),
        ("bge", {"architectures": ["BertModel"]}, "embed"),
        ("Qwen3-Embedding-8B", {"architectures": ["Qwen3ForCausalLM"]}, "embed"),
        ("Qwen3-Reranker-8B", {"architectures": ["Qwen3ForCausalLM"]}, "rerank"),
        ("x", {"architectures": ["XLMRobertaForSequenceClassification"], "id2label": {"0": "L"}}, "rerank"),
        (
            "x",
            {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}},
            "classify",
        ),
        ("x", {"architectures": ["StrangeThing"]}, "unknown"),
    ],
)
def test_its_task_is_told(tmp_path: Path, name: str, config: dict[str, Any], task: str) -> None:
    make(tmp_path / name, config)
    assert only([tmp_path]).task == task


def test_an_adapter_says_that_it_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-8B"}')
    write_safetensors(folder / "adapter_model.safetensors", {"a": tensor("BF16", 8)})
    assert only([tmp_path]).missing == "its base model Qwen/Qwen3-8B: it is an adapter"


def test_a_gguf_file_says_that_vllm_does_not_read_it(tmp_path: Path) -> None:
    (tmp_path / "m.Q4.gguf").write_bytes(b"GGUF")
    here = only([tmp_path])
    assert (here.quantization, here.missing) == ("gguf", "weights in safetensors: vLLM does not read GGUF")


def link_in_circles(root: Path) -> None:
    (root / "circle").symlink_to(root)
    (root / "self").symlink_to(root / "self")


def link_out(root: Path) -> None:
    make(root.parent / "outside")
    (root / "out").symlink_to(root.parent / "outside")


def pipe(root: Path) -> None:
    (root / "p").mkdir()
    os.mkfifo(root / "p" / "config.json")
    (root / "p2").mkdir()
    os.mkfifo(root / "p2" / "model.safetensors")


def pictures(root: Path) -> None:
    make(root / "sd" / "unet")
    (root / "sd" / "model_index.json").write_text("{}")


def another_json(root: Path) -> None:
    (root / "web").mkdir()
    (root / "web" / "config.json").write_text('{"port": 80}')


def hidden(root: Path) -> None:
    make(root / ".smollm2.making")


def deep(root: Path) -> None:
    make(root.joinpath(*"abcdefgh"))


@pytest.mark.parametrize("odd", [link_in_circles, link_out, pictures, another_json, hidden, deep])
def test_what_is_no_model_of_this_root_is_left_out(tmp_path: Path, odd: Callable[[Path], None]) -> None:
    root = tmp_path / "root"
    make(root / "good")
    odd(root)
    assert [here.folder.name for here in scan([root], None)] == ["good"]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"architectures": 7, "model_type": []}', "\0"]
)
def test_a_config_that_is_none_does_no_harm(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path / "m")
    (folder / "config.json").write_text(text)
    assert only([tmp_path]).architecture == ""


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe(tmp_path)
    assert [here.folder.name for here in scan([tmp_path], None)] == ["p2"]


def test_places_that_are_not_there_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert (
        scan([tmp_path / "gone", tmp_path / "file", Path("~nobody-of-this-name/x")], tmp_path / "gone") == []
    )


def test_a_cache_with_anything_in_it_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "models--a--b").mkdir()
    (tmp_path / "models--c").write_text("")
    (tmp_path / "models--d--e" / "snapshots").mkdir(parents=True)
    (tmp_path / "models--d--e" / "snapshots" / SHA).symlink_to(tmp_path)
    (tmp_path / "models--d--e" / "refs").mkdir()
    (tmp_path / "models--d--e" / "refs" / "main").symlink_to("/dev/zero")
    assert {here.missing for here in scan([], tmp_path)} <= {"its files"}


def test_a_model_that_changes_is_read_again(tmp_path: Path) -> None:
    folder = make(tmp_path / "m")
    assert only([tmp_path]).parameters == 1000
    write_safetensors(folder / "model.safetensors", {"a": tensor("BF16", 20_000)})
    assert only([tmp_path]).parameters == 20_000
