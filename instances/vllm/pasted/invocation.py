"""What a text was found to start, before its flags are read."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from .words import Word

FOLDERS = frozenset(
    """outputs output models model checkpoints checkpoint ckpt ckpts weights weight merged runs run results result
    data saved save exports export finetuned finetunes finetune trained training train local artifacts experiments
    adapters lora loras cache tmp work workspace logs build dist files storage""".split()
)  # what people call folders, and nobody on a hub
NOT_HERE = "The text does not have its value: enter it yourself."


@dataclass
class Left:
    """Something that was not taken, and why."""

    text: str
    why: str


@dataclass
class Invocation:
    """One start of vLLM: what it is given, and what surrounds it."""

    words: list[Word] = field(default_factory=list)  # the model and the flags
    env: dict[str, Word] = field(default_factory=dict)
    env_from: dict[str, str] = field(
        default_factory=dict
    )  # name -> whose option brought it, where not the shell
    folder: str = ""  # where it was started; empty: not known
    mounts: list[tuple[str, str]] = field(default_factory=list)  # (on the host, in the container)
    container: str = ""  # "docker", "compose" ...: paths are those of a container
    base: str = ""  # what relative paths of a mount are relative to, in words
    gpus: list[str] | None = None
    gpu_count: int | None = None
    published: str = ""  # the port that people used
    restart: str = ""  # as it was written
    left_out: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave(self, text: str, why: str) -> None:
        self.left_out.append(Left(text, why))

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def host_path(path: str, mounts: Sequence[tuple[str, str]]) -> str | None:
    """A path of a container as the host has it; None where no mount holds it."""
    best: tuple[str, str] | None = None
    for host, inside in mounts:
        root = inside.rstrip("/") or "/"
        if (path == root or path.startswith(root.rstrip("/") + "/")) and (
            best is None or len(root) > len(best[1])
        ):
            best = (host, root)
    if best is None:
        return None
    rest = path[len(best[1].rstrip("/")) :]
    return best[0].rstrip("/") + rest if rest else best[0]


def is_absolute(path: str) -> bool:
    return path.startswith(("/", "~/")) or path == "~"


def looks_like_folder(model: str) -> bool:
    """Whether a name without a leading slash or dot is a folder all the same: `outputs/x`, `a/b/c`."""
    first = model.partition("/")[0].lower()
    return model.startswith(".") or model.count("/") > 1 or ("/" in model and first in FOLDERS)


def joined(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))
