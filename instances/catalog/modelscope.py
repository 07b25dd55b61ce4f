"""ModelScope, the second source: search, and which files a model has.

Written after its public interface (`/openapi/v1/models` and `/api/v1/models/.../repo/files`) and tested against a
small hub on loopback that answers alike. The real one was out of reach, so not tried: how it ranks, its limits on
questions, private models, and how its CDN answers a Range.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from instances.vllm.fit.values import mapping, whole, words

from . import cache, files, tasks
from .asking import Hub, ask, ask_json, not_a_hub
from .failures import NotFound
from .files import File
from .hub import ID, Hit, Listing, Remote, remote_of

DEFAULT = "https://www.modelscope.cn"
TITLE = "ModelScope"
BRANCH = "master"


def endpoint_of(environ: Mapping[str, str] = os.environ) -> str:
    return environ.get("MODELSCOPE_ENDPOINT", "").strip().rstrip("/") or DEFAULT


def search(
    endpoint: str, text: str, token: str | None = None, limit: int = 20, patience: float = 5.0
) -> list[Hit]:
    """The most fetched ones first. Raises one of `failures`."""
    asked = Hub(TITLE, endpoint.rstrip("/"), token, patience)
    params = {"search": text.strip()[:200], "page_number": 1, "page_size": limit, "sort": "downloads"}
    answer = mapping(ask_json(asked, "openapi/v1/models", params=params))
    found = mapping(answer.get("data")).get("models")
    if not isinstance(found, list):
        raise not_a_hub(asked)
    return [model for one in found[:limit] if (model := _found(mapping(one)))]


def _found(one: Mapping[str, Any]) -> Hit | None:
    name = one.get("id")
    if not isinstance(name, str) or not ID.fullmatch(name) or "/" not in name:
        return None
    return Hit(
        name,
        whole(one.get("downloads"), 0) or 0,
        whole(one.get("likes"), 0) or 0,
        bool(one.get("gated")),
        tasks.of_words(words(one.get("tasks"))),
        whole(one.get("params")),
        str(one.get("last_modified") or ""),
    )


def describe(
    endpoint: str, model: str, revision: str | None = None, token: str | None = None, patience: float = 5.0
) -> Remote:
    """Two questions, each with that patience in seconds. Raises one of `failures`."""
    asked = Hub(TITLE, endpoint.rstrip("/"), token, patience)
    found = listing(endpoint, model, revision, token, patience)
    return remote_of(found, lambda name: ask(asked, download_path(model, found.sha, name), model))


def listing(
    endpoint: str, model: str, revision: str | None = None, token: str | None = None, patience: float = 20.0
) -> Listing:
    """Raises one of `failures`."""
    asked = Hub(TITLE, endpoint.rstrip("/"), token, patience)
    if not ID.fullmatch(model) or "/" not in model or ".." in model:
        raise NotFound(f"“{model}” is no name of a model.", "A model is named like Qwen/Qwen3-8B.")
    if revision and not cache.is_revision(revision):
        raise NotFound(f"{model} has no such revision.", "Check the flag revision, or take it out.")
    params = {"Revision": revision or BRANCH, "Recursive": "true"}
    answer = mapping(ask_json(asked, f"api/v1/models/{model}/repo/files", model, params))
    if answer.get("Code") in (404, 10010205001):
        raise NotFound(f"ModelScope has no model {model}.", "Check its name.")
    told = mapping(answer.get("Data")).get("Files")
    if not isinstance(told, list):
        raise not_a_hub(asked)
    found = tuple(file for one in told if (file := _file(mapping(one))))
    return Listing(revision or BRANCH, False, found, {}, None)


def _file(one: Mapping[str, Any]) -> File | None:
    name = one.get("Path")
    if one.get("Type") == "tree" or not isinstance(name, str) or not files.is_safe(name):
        return None
    sha256 = str(one.get("Sha256") or "").lower()
    return File(
        name, whole(one.get("Size"), 0, 10**15), sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else ""
    )


def download_path(model: str, revision: str, name: str) -> str:
    return f"api/v1/models/{quote(model)}/repo?{urlencode({'Revision': revision, 'FilePath': name})}"
