"""The Hugging Face hub, or a mirror that HF_ENDPOINT names: search, what a model is, which files it has."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from instances.vllm.fit.values import mapping, whole

from . import cache, files, tasks
from .asking import Hub, ask, ask_json, not_a_hub
from .failures import CatalogFailure, NotFound
from .files import File
from .tasks import Task

DEFAULT = "https://huggingface.co"
TITLE = "The Hugging Face hub"
ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SEARCHED = ("downloads", "likes", "gated", "pipeline_tag", "safetensors", "lastModified")


@dataclass(frozen=True)
class Hit:
    """One answer of a search."""

    model: str
    downloads: int
    likes: int
    gated: bool
    task: Task
    parameters: int | None
    updated: str  # ISO 8601, or empty


@dataclass(frozen=True)
class Remote:
    """What a hub says of one model."""

    config: Mapping[str, Any]  # its config.json; empty where it has none
    counts: Mapping[
        str, int
    ]  # numbers by data type, by safetensors' names; empty where the hub did not count
    parameters: int | None
    bytes: int  # of all files that vLLM needs
    weights: int  # bytes of those of them that are weights
    gated: bool
    sha: str  # the commit; the branch where the hub does not tell it


@dataclass(frozen=True)
class Listing:
    """All files of one commit, or of one branch where the hub does not tell its commit."""

    sha: str
    gated: bool
    files: tuple[File, ...]
    counts: Mapping[str, int]
    parameters: int | None


def endpoint_of(environ: Mapping[str, str] = os.environ) -> str:
    return environ.get("HF_ENDPOINT", "").strip().rstrip("/") or DEFAULT


def search(
    endpoint: str, text: str, token: str | None = None, limit: int = 20, patience: float = 5.0
) -> list[Hit]:
    """The most fetched ones first. Raises one of `failures`."""
    asked = Hub(TITLE, endpoint.rstrip("/"), token, patience)
    params = {"search": text.strip()[:200], "limit": limit, "sort": "downloads", "expand[]": SEARCHED}
    answer = ask_json(asked, "api/models", params=params)
    if not isinstance(answer, list):
        raise not_a_hub(asked)
    return [found for one in answer[:limit] if (found := _found(mapping(one)))]


def _found(one: Mapping[str, Any]) -> Hit | None:
    name = one.get("id") or one.get("modelId")
    if not isinstance(name, str) or not ID.fullmatch(name):
        return None
    return Hit(
        name,
        whole(one.get("downloads"), 0) or 0,
        whole(one.get("likes"), 0) or 0,
        bool(one.get("gated")),
        tasks.of_words([str(one.get("pipeline_tag"))]),
        whole(mapping(one.get("safetensors")).get("total")),
        str(one.get("lastModified") or ""),
    )


def describe(
    endpoint: str, model: str, revision: str | None = None, token: str | None = None, patience: float = 5.0
) -> Remote:
    """Two questions, each with that patience in seconds; a third for the nearest names, where there is no such model.

    Raises one of `failures`, Gated where its config.json is shut.
    """
    asked = Hub(TITLE, endpoint.rstrip("/"), token, patience)
    try:
        found = _listing(asked, model, revision)
    except NotFound as missing:
        if revision or not ID.fullmatch(model):
            raise
        raise NotFound(missing.reason, missing.mend + _nearest(asked, model)) from missing
    return remote_of(found, lambda name: ask(asked, resolve_path(model, found.sha, name), model))


def _nearest(asked: Hub, model: str) -> str:
    """What the hub has under that name of other owners; nothing when it has none, or does not say."""
    try:
        found = search(asked.endpoint, model.rpartition("/")[2], asked.token, 3, asked.patience)
    except CatalogFailure:
        return ""
    return f" Nearest: {', '.join(hit.model for hit in found)}." if found else ""


def remote_of(listing: Listing, fetch: Callable[[str], bytes]) -> Remote:
    """`fetch` gives the bytes of one file, or raises one of `failures`."""
    wanted = files.needed(listing.files)
    config: Mapping[str, Any] = {}
    if name := next((file.name for file in wanted if file.name in ("config.json", "params.json")), ""):
        try:
            config = mapping(json.loads(fetch(name)))
        except (ValueError, RecursionError):
            config = {}
    return Remote(
        config,
        listing.counts,
        listing.parameters,
        sum(file.size or 0 for file in wanted),
        sum(file.size or 0 for file in wanted if files.is_weights(file.name)),
        listing.gated,
        listing.sha,
    )


def listing(
    endpoint: str, model: str, revision: str | None = None, token: str | None = None, patience: float = 20.0
) -> Listing:
    """Raises one of `failures`."""
    return _listing(Hub(TITLE, endpoint.rstrip("/"), token, patience), model, revision)


def _listing(asked: Hub, model: str, revision: str | None) -> Listing:
    if not ID.fullmatch(model) or ".." in model:
        raise NotFound(f"“{model}” is no name of a model.", "A model is named like Qwen/Qwen3-8B.")
    if revision and not cache.is_revision(revision):
        raise NotFound(f"{model} has no such revision.", "Check the flag revision, or take it out.")
    path = f"api/models/{model}" + (f"/revision/{quote(revision, safe='')}" if revision else "")
    answer = ask_json(asked, path, model, {"blobs": "true"})
    siblings = answer.get("siblings") if isinstance(answer, dict) else None
    if not isinstance(siblings, list) or not cache.is_revision(str(answer.get("sha") or "")):
        raise not_a_hub(asked)
    told = mapping(mapping(answer.get("safetensors")).get("parameters"))
    counts = {str(name): count for name, value in told.items() if (count := whole(value))}
    total = whole(mapping(answer.get("safetensors")).get("total"))
    found = tuple(file for one in siblings if (file := _file(mapping(one))))
    return Listing(str(answer["sha"]), bool(answer.get("gated")), found, counts, total)


def _file(one: Mapping[str, Any]) -> File | None:
    name = one.get("rfilename")
    if not isinstance(name, str) or not files.is_safe(name):
        return None
    large = mapping(one.get("lfs"))
    size = whole(one.get("size"), 0, 10**15)
    if size is None:
        size = whole(large.get("size"), 0, 10**15)
    sha256 = _hex(large.get("sha256") or large.get("oid"), 64)
    return File(name, size, sha256, "" if large else _hex(one.get("blobId"), 40))


def resolve_path(model: str, sha: str, name: str) -> str:
    return f"{model}/resolve/{sha}/{quote(name)}"


def _hex(value: object, length: int) -> str:
    text = str(value or "").removeprefix("sha256:").lower()
    return text if re.fullmatch(rf"[0-9a-f]{{{length}}}", text) else ""
