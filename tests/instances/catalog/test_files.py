from __future__ import annotations

import pytest

from instances.catalog.files import File, is_safe, needed


def kept(*names: str, mistral: bool = False) -> list[str]:
    return [file.name for file in needed((File(name, 1) for name in names), mistral=mistral)]


def test_small_files_come_before_the_weights() -> None:
    assert kept("model.safetensors", "tokenizer.json", "config.json") == [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", ".gitattributes", "figures/a.png", "onnx/model.onnx", "original/consolidated.00.pth"),
        *("model-Q4_K_M.gguf", "tf_model.h5", "flax_model.msgpack", "training_args.bin", "optimizer.pt"),
        *("pytorch_model.bin", "rust_model.ot", "openvino/openvino_model.bin"),
    ],
)
def test_what_vllm_does_not_load_is_left(name: str) -> None:
    assert kept("config.json", "model.safetensors", name) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer.model", "tekken.json", "merges.txt", "chat_template.jinja", "modeling_phi.py"),
        *("1_Pooling/config.json", "model.safetensors.index.json", "preprocessor_config.json"),
    ],
)
def test_what_it_may_need_comes(name: str) -> None:
    assert name in kept("config.json", "model.safetensors", name)


def test_of_two_kinds_of_weights_the_wanted_one_comes() -> None:
    both = ("config.json", "model-00001-of-00001.safetensors", "consolidated.safetensors")
    assert "consolidated.safetensors" not in kept(*both)
    assert kept(*both, mistral=True) == ["config.json", "consolidated.safetensors"]
    assert kept("params.json", "consolidated.safetensors") == ["params.json", "consolidated.safetensors"]


@pytest.mark.parametrize(
    "name", ["", "/x", "../x", "a/../b", "a\\b", "a\nb", "x" * 300, "a/" + "x" * 300, "\0"]
)
def test_a_name_that_leads_out_or_is_none_is_not_safe(name: str) -> None:
    assert not is_safe(name)
