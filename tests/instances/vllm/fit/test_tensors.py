from __future__ import annotations

import struct
from pathlib import Path

import pytest

from instances.vllm.fit import tensors

from .made import tensor, write_safetensors


def test_all_files_of_a_model_are_counted(tmp_path: Path) -> None:
    write_safetensors(
        tmp_path / "model-00001-of-00002.safetensors",
        {"__metadata__": {"format": "pt"}, "model.layers.0.mlp.weight": tensor("BF16", 10, 20)},
    )
    write_safetensors(
        tmp_path / "model-00002-of-00002.safetensors",
        {"model.layers.1.mlp.weight": tensor("F32", 5), "lm_head.weight": tensor("BF16", 7, 10)},
    )
    found = tensors.read(tmp_path)
    assert found is not None
    assert (found.bytes, found.parameters) == (400 + 20 + 140, 200 + 5 + 70)
    assert found.by_dtype == {"BF16": 540, "F32": 20}
    assert found.by_layer == {0: 400, 1: 20}
    assert found.head == 140


def test_numbers_of_less_than_a_byte_are_counted_in_bits(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": tensor("F4", 3, 4), "b": tensor("F8_E4M3", 5)})
    found = tensors.read(tmp_path)
    assert found is not None and found.bytes == 6 + 5


def test_a_second_copy_of_the_weights_is_not_counted_twice(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": tensor("BF16", 8)})
    write_safetensors(tmp_path / "consolidated.safetensors", {"a": tensor("BF16", 8)})
    found = tensors.read(tmp_path)
    assert found is not None and found.bytes == 16


def test_other_formats_count_by_the_size_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "model-Q4.gguf").write_bytes(b"x" * 300)
    found = tensors.read(tmp_path)
    assert found is not None and (found.bytes, found.by_dtype) == (300, {tensors.FILE: 300})


def test_what_is_no_weight_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 300)
    (tmp_path / "training_args.bin").write_bytes(b"x" * 900)
    found = tensors.read(tmp_path)
    assert found is not None and found.bytes == 300


def test_counts_of_a_hub_become_bytes() -> None:
    found = tensors.from_counts({"BF16": 1000, "U8": 10, "nonsense": 5, "F32": "odd"})
    assert found is not None and (found.bytes, found.parameters) == (2010, 1010)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100) + b"{not json",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 30) + b'{"a": {"dtype": 5, "shape": 1}}'[:30],
        struct.pack("<Q", 200_000) + b"[" * 200_000,
    ],
)
def test_a_broken_file_is_as_if_it_were_not_there(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert tensors.read(tmp_path) is None


def test_a_header_is_believed_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", tensors.HEADER_LIMIT + 1) + b"{}")
    assert tensors.header_of(path) is None


@pytest.mark.parametrize("shape", [[-1, 5], [10**12, 10**12], ["a"], [1.5], None, [1] * 17, [True]])
def test_an_odd_shape_is_not_counted(shape: object) -> None:
    assert tensors.from_headers([{"a": {"dtype": "BF16", "shape": shape}}]) is None


def test_a_folder_without_weights_has_none(tmp_path: Path) -> None:
    assert tensors.read(tmp_path) is None
    assert tensors.read(tmp_path / "not-there") is None
