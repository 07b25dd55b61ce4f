"""Which files of a model's repository vLLM needs. The others are the same weights once more, pictures, examples."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

SPARE_FOLDERS = (
    "original",
    "onnx",
    "openvino",
    "coreml",
    "gguf",
    "flax",
    "metal",
    "runs",
    "checkpoints",
    "assets",
)
SPARE_ENDINGS = (
    *(".gguf", ".onnx", ".onnx_data", ".h5", ".msgpack", ".ot", ".tflite", ".mlmodel", ".ckpt", ".npz"),
    *(
        ".md",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".svg",
        ".webp",
        ".pdf",
        ".mp4",
        ".wav",
        ".ipynb",
        ".zip",
        ".gz",
    ),
)
OLD_WEIGHTS = (".bin", ".pt", ".pth")
NOT_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|rng_state).*")
LONGEST = 255  # characters of one part of a name


@dataclass(frozen=True)
class File:
    """One file of a repository."""

    name: str  # with its folders
    size: int | None  # bytes
    sha256: str = ""
    git: str = ""  # the SHA-1 that git knows it by, of small ones


def needed(files: Iterable[File], *, mistral: bool = False) -> list[File]:
    """Small ones first. Weights in safetensors are preferred; `mistral` takes the consolidated ones of two kinds."""
    kept = [file for file in files if is_safe(file.name) and not _is_spare(file.name)]
    safe = [file for file in kept if file.name.endswith(".safetensors") and "/" not in file.name]
    if safe:
        kept = [file for file in kept if not _is_old(file.name)]
        consolidated = [file for file in safe if _is_consolidated(file.name)]
        if consolidated and len(consolidated) < len(safe):
            drop = [file for file in safe if _is_consolidated(file.name) != mistral]
            kept = [file for file in kept if file not in drop]
    return sorted(kept, key=lambda file: (is_weights(file.name), file.name))


def is_weights(name: str) -> bool:
    return name.endswith((".safetensors", *OLD_WEIGHTS))


def is_safe(name: str) -> bool:
    """Whether a name stays inside the folder that it is put into; a hub is not believed blindly."""
    parts = PurePosixPath(name).parts
    plain = bool(parts) and not name.startswith("/") and "\\" not in name and name.isprintable()
    return plain and all(part not in ("..", ".") and len(part) <= LONGEST for part in parts)


def _is_spare(name: str) -> bool:
    parts = name.lower().split("/")
    hidden = any(part.startswith(".") for part in parts)
    return (
        hidden
        or parts[0] in SPARE_FOLDERS
        or parts[-1].endswith(SPARE_ENDINGS)
        or bool(NOT_WEIGHTS.fullmatch(parts[-1]))
    )


def _is_old(name: str) -> bool:
    return name.endswith(OLD_WEIGHTS)


def _is_consolidated(name: str) -> bool:
    return name.startswith("consolidated")
