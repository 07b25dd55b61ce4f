"""What is known of a model before it runs: from its folder, from the Hugging Face cache, else from the hub.

An answer of the hub is kept on the disk, so that the next question costs nothing; a hub out of reach says "not
known" and is left alone for a while, so that nobody waits for it at every key that is pressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from . import model_paths
from .catalog import cache
from .vllm.fit import tensors
from .vllm.fit.estimate import Model

CONFIG_LIMIT = 10 * 2**20  # bytes of a config.json
FRESH = 7 * 24 * 3600.0  # seconds that an answer of the hub is taken without asking again
LEFT_ALONE = 60.0  # seconds after which a hub that failed, or knew nothing, is asked again
KEPT = 64  # folders remembered
_failed: dict[str, tuple[float, str]] = {}  # question -> when to ask again (monotonic), why
_folders: dict[Path, tuple[tuple[Any, ...], Model]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """What a hub says of one model: its config.json, numbers by data type, bytes of its weights."""

    config: Mapping[str, Any]
    counts: Mapping[str, int]
    bytes: int | None


class HubSilent(Exception):
    """The hub gave no answer; carries a sentence. `everywhere`: it would give none for other models either."""

    def __init__(self, why: str, everywhere: bool = False) -> None:
        super().__init__(why)
        self.everywhere = everywhere


Ask = Callable[[str, str | None], Answer]  # model and revision; raises HubSilent


@dataclass(frozen=True)
class Known:
    model: Model | None
    why: str = ""  # a sentence, when there is none


def known(model: str, revision: str | None = None, *, ask: Ask | None = None) -> Known:
    """Never raises for what a model's files or a hub hold. Without `ask` nothing leaves this machine."""
    if not model:
        return Known(None, "Choose a model first.")
    try:
        place = model_paths.resolve(model)
    except model_paths.OutsideRoots as outside:
        return Known(None, str(outside))
    if model_paths.is_path(model):
        found = of_folder(Path(place))
        if _is_on_its_way(model, Path(place)) and (told := _of_hub(model, revision, ask)).model:
            return told
        return Known(found, "" if found else f"There is no config.json in {model}.")
    try:
        folder = cache.snapshot(settings.HF_CACHE, model, revision)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # somebody's broken cache
        folder = None
    if folder is not None and (found := of_folder(folder, "cache")):
        return Known(found)
    return _of_hub(model, revision, ask)


def _is_on_its_way(model: str, place: Path) -> bool:
    """Whether a folder is one that we fetch, and not whole yet: then its hub knows more of it."""
    return model_paths.origin(model).kind != "local" and not cache.is_complete(place)


def of_folder(folder: Path, origin: str = "folder") -> Model | None:
    """None without a config.json that can be read. Remembered for as long as the folder stays as it is."""
    try:
        files = sorted((one.name, one.stat().st_mtime_ns, one.stat().st_size) for one in folder.iterdir())
    except OSError:
        return None
    stamp = tuple(files)
    with _lock:
        if (kept := _folders.get(folder)) and kept[0] == stamp:
            return kept[1]
    config = _json(folder / "config.json") or _json(folder / "params.json")
    if config is None:
        return None
    model = Model(config, tensors.read(folder), origin)
    with _lock:
        if len(_folders) >= KEPT:
            _folders.clear()
        _folders[folder] = (stamp, model)
    return model


def _of_hub(model: str, revision: str | None, ask: Ask | None) -> Known:
    question = f"{os.environ.get('HF_ENDPOINT', '')}\n{model}\n{revision or ''}"
    path = (
        Path(settings.LLMOPS_DATA) / "cache" / "hub" / f"{hashlib.sha256(question.encode()).hexdigest()}.json"
    )
    kept = _json(path)
    is_fresh = kept is not None and time.time() - _number(kept.get("at")) < FRESH
    if kept is not None and (is_fresh or ask is None):
        return Known(_model(kept))
    if ask is None:
        return Known(None, f"{model} is not on this machine, and the hub was not asked yet.")
    if why := _left_alone(question):
        return Known(_model(kept), "") if kept else Known(None, why)
    try:
        answer = ask(model, revision)
    except HubSilent as silent:
        with _lock:
            key = "" if silent.everywhere else question
            _failed[key] = (time.monotonic() + LEFT_ALONE, str(silent))
        return Known(_model(kept), "") if kept else Known(None, str(silent))
    facts = {"config": dict(answer.config), "counts": dict(answer.counts), "bytes": answer.bytes}
    _keep(path, facts | {"at": time.time()})
    return Known(_model(facts))


def _left_alone(question: str) -> str:
    """Why the hub is not asked now; empty when it is."""
    now = time.monotonic()
    with _lock:
        for key in ("", question):
            again, why = _failed.get(key, (0.0, ""))
            if again > now:
                return why
            _failed.pop(key, None)
    return ""


def forget() -> None:
    """Everything that is remembered in memory: after a token was set, or a test."""
    with _lock:
        _failed.clear()
        _folders.clear()


def _model(facts: Mapping[str, Any]) -> Model:
    config, counts = facts.get("config"), facts.get("counts")
    size = facts.get("bytes")
    found = tensors.from_counts(counts) if isinstance(counts, dict) and counts else None
    if found is None and isinstance(size, int):
        found = tensors.from_size(size)
    return Model(config if isinstance(config, dict) else {}, found, "hub")


def _keep(path: Path, facts: Mapping[str, Any]) -> None:
    """By rename, so that nobody reads half of it; a full disk costs only the memory of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        fresh.write_text(json.dumps(facts))
        fresh.replace(path)
    except OSError:
        return


def _json(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(CONFIG_LIMIT))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
