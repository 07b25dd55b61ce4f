"""How large a model's weights are, from the headers of its safetensors files or else from the files' sizes.

A header is JSON in front of the data, its length in the first eight bytes; the data itself is never read. Files
come from anywhere: a length is believed up to a bound, and what is not as it should be counts as not there.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .values import BYTES_MOST, mapping, whole

HEADER_LIMIT = 100 * 2**20  # bytes; the format's own bound
FILES_LIMIT = 1_000  # of one model

# Bits of one number, by the names that safetensors gives.
BITS = {
    **{"F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32},
    **{"F16": 16, "BF16": 16, "I16": 16, "U16": 16},
    **{
        "I8": 8,
        "U8": 8,
        "BOOL": 8,
        "F8_E4M3": 8,
        "F8_E5M2": 8,
        "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8,
    },
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
}
FLOATS = frozenset(("F64", "F32", "F16", "BF16"))  # loaded in the data type that is served
OTHER_FILES = ("*.gguf", "*.bin", "*.pt", "*.pth")  # their sizes are all that we look at
NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "consolidated", "tokenizer")

LAYER = re.compile(r"(?:^|\.)layers\.(\d{1,5})\.")
HEAD = re.compile(r"(?:^|\.)lm_head\.weight$")


@dataclass(frozen=True)
class Tensors:
    """The weights of one model as they lie on the disk."""

    bytes: int
    parameters: int  # numbers; several small ones that are packed into one count as one
    by_dtype: dict[str, int]  # bytes, by safetensors' names; FILE where only the file's size is known
    by_layer: dict[int, int] = field(default_factory=dict)  # bytes, where the names tell the layer
    head: int = 0  # bytes of the output head

    def without(self, spare: int) -> Tensors:
        """Less what the engine does not load, taken from the kinds in proportion."""
        kept = max(self.bytes - spare, 0)
        if not self.bytes or kept == self.bytes:
            return self
        rest = {name: size * kept // self.bytes for name, size in self.by_dtype.items()}
        return Tensors(kept, self.parameters * kept // self.bytes, rest)


FILE = "file"


def read(folder: Path) -> Tensors | None:
    """Of a model's folder; None when there are no weights, or none that can be read."""
    try:
        files = sorted(folder.glob("*.safetensors"))[:FILES_LIMIT]
        # What one vendor adds beside the usual files are the same weights once more.
        usual = [path for path in files if not path.name.startswith(NOT_WEIGHTS)] or files
        if usual:
            headers = [header_of(path) for path in usual]
            return from_headers([header for header in headers if header is not None])
        return _from_sizes(folder)
    except OSError:
        return None


def header_of(path: Path) -> dict[str, Any] | None:
    """The header of one safetensors file; None when it is not one."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                return None
            (length,) = struct.unpack("<Q", start)
            if length > HEADER_LIMIT:
                return None
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def from_headers(headers: Iterable[Mapping[str, Any]]) -> Tensors | None:
    """Of the headers of all files of a model; None when they hold no tensor."""
    parameters, head = 0, 0
    by_dtype: dict[str, int] = {}
    by_layer: dict[int, int] = {}
    for header in headers:
        for name, entry in header.items():
            counted = _tensor(entry)
            if counted is None or name == "__metadata__":
                continue
            dtype, numbers, size = counted
            parameters += numbers
            by_dtype[dtype] = by_dtype.get(dtype, 0) + size
            if layer := LAYER.search(str(name)):
                by_layer[int(layer[1])] = by_layer.get(int(layer[1]), 0) + size
            elif HEAD.search(str(name)):
                head += size
    if not by_dtype:
        return None
    return Tensors(sum(by_dtype.values()), parameters, by_dtype, by_layer, head)


def from_counts(counts: Mapping[str, Any]) -> Tensors | None:
    """Of numbers by data type, as hubs list them; a data type that is not known is left out."""
    known = {name: found for name, told in counts.items() if name in BITS and (found := whole(told))}
    by_dtype = {name: count * BITS[name] // 8 for name, count in known.items()}
    return Tensors(sum(by_dtype.values()), sum(known.values()), by_dtype) if by_dtype else None


def from_size(size: int) -> Tensors | None:
    """Of the size of its files alone."""
    return Tensors(size, 0, {FILE: size}) if size > 0 else None


def _from_sizes(folder: Path) -> Tensors | None:
    for pattern in OTHER_FILES:
        files = [path for path in folder.glob(pattern) if not path.name.startswith(NOT_WEIGHTS)]
        if size := sum(path.stat().st_size for path in files):
            return from_size(size)
    return None


def _tensor(entry: object) -> tuple[str, int, int] | None:
    """Data type, numbers and bytes of one entry of a header. Its shape counts, its offsets are not needed."""
    facts = mapping(entry)
    dtype, shape = facts.get("dtype"), facts.get("shape")
    if not isinstance(dtype, str) or dtype not in BITS or not isinstance(shape, list) or len(shape) > 16:
        return None
    sides = [whole(side, 0) for side in shape]
    numbers = math.prod(side for side in sides if side is not None) if None not in sides else BYTES_MOST + 1
    return (dtype, numbers, numbers * BITS[dtype] // 8) if numbers <= BYTES_MOST else None
