"""Which model a command names, and where it lies for this host."""

from __future__ import annotations

import re

from .arguments import Given, Taken
from .invocation import FOLDERS, Invocation, host_path, is_absolute, joined, looks_like_folder

HUB_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)(?:/.*)?$")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
LONGEST = 500  # characters
MOST_LOOSE = 20


def written_model(given: Given | None, taken: Taken, invocation: Invocation) -> str:
    """The model as it was written; empty where the text has none. Words that belong to nothing are left out."""
    loose = [word for word in taken.loose if word.text.strip()]
    if given is not None and isinstance(given.value, str):
        model, shown, missing = given.value.strip(), given.shown, given.unknown
    elif loose:
        word = loose.pop(0)
        model, shown, missing = word.text.strip(), word.shown, word.unknown
    else:
        invocation.note("The text names no model. Enter one.")
        return ""
    for word in loose[:MOST_LOOSE]:
        invocation.leave(word.shown, "It belongs to no flag.")
    if missing:
        invocation.leave(shown, f"{', '.join(missing)} is not in the text. Enter the model.")
        return ""
    if len(model) > LONGEST or not model.isprintable():
        invocation.leave(model, "This is no name of a model.")
        return ""
    if found := HUB_ADDRESS.fullmatch(model):
        invocation.note(f"{model} was read as the hub name {found[1]}.")
        return found[1]
    return model.rstrip("/") or "/"


def placed_model(model: str, invocation: Invocation) -> str | None:
    """The model as this host has it; None, with a note, where the text does not tell."""
    if model.startswith("/"):
        return _inside(model, invocation)
    if is_absolute(model):
        return model
    if looks_like_folder(model) and is_absolute(invocation.folder):
        whole = joined(invocation.folder, model)
        invocation.note(f"The model {model} is relative to {invocation.folder}: {whole}.")
        return host_path(whole, invocation.mounts) or whole
    if model.startswith(".") or model.count("/") > 1:
        invocation.note(f"{model} is relative to a folder that the text does not name. Enter the full path.")
        return None
    if "/" in model and invocation.folder:
        folder = f" in {invocation.folder}"
    elif model.partition("/")[0].lower() in FOLDERS and "/" in model:
        folder = ""
    else:
        return model
    invocation.note(f"{model} was read as a hub name. If it is a folder{folder}, write its full path.")
    return model


def _inside(path: str, invocation: Invocation) -> str | None:
    """A full path, which may be one of a container."""
    host = host_path(path, invocation.mounts)
    if host is None:
        if invocation.container:
            invocation.note(
                f"{path} is a path of a container, and no mount tells where it lies on this host."
            )
        return path
    if "$" in host:
        invocation.note(f"The model {path} is a path of a container: {host}. Enter the folder's full path.")
        return None
    if not is_absolute(host):
        where = f"{host} on the host, beside {invocation.base}"
        invocation.note(f"The model {path} is a path of a container: {where}. Enter the folder's full path.")
        return None
    invocation.note(f"The model {path} of the container is {host} on the host.")
    return host


def instance_name(source: str) -> str | None:
    """The last part of a model's or a served name, as an instance may be called."""
    last = source.rstrip("/").rpartition("/")[2].lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._")[:63].rstrip("-._")
    return name if NAME.fullmatch(name) else None
