from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instances import presence
from instances.catalog import cache

MODEL = "mistralai/Mistral-Small"
SHA = "a" * 40


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> None:
    settings.HF_CACHE = tmp_path / "hub"
    settings.LLMOPS_DATA = tmp_path / "data"


def lay(*names: str) -> None:
    from django.conf import settings

    storage = cache.storage(settings.HF_CACHE, MODEL)
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text(SHA)
    (storage / "snapshots" / SHA).mkdir(parents=True)
    for name in names:
        (storage / "snapshots" / SHA / name).write_text("{}")


def test_a_model_of_the_cache_is_here_in_the_revision_that_is_wanted() -> None:
    lay("config.json", "model.safetensors")
    assert presence.is_here({"model": MODEL}) and presence.needs_no_hub({"model": MODEL})
    assert not presence.is_here({"model": MODEL, "args": {"revision": "v2"}})
    assert not presence.is_here({"model": "a/b"})


def test_weights_in_another_format_than_the_wanted_one_are_not_here() -> None:
    lay("config.json", "model.safetensors")
    wanted = {"model": MODEL, "args": {"load-format": "mistral"}}
    assert not presence.is_here(wanted)


def test_a_path_of_nobodys_is_left_to_the_engine_and_one_of_ours_must_be_whole(tmp_path: Path) -> None:
    assert presence.is_here({"model": "/srv/mine"})
    assert not presence.needs_no_hub({"model": "/srv/mine"})
    ours = tmp_path / "data" / "models" / "modelscope" / "a" / "b"
    assert not presence.is_here({"model": str(ours)})
    ours.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (ours / name).write_text("{}")
    assert presence.is_here({"model": str(ours)})


def test_a_model_with_parts_from_elsewhere_may_need_the_hub() -> None:
    lay("config.json", "model.safetensors")
    assert not presence.needs_no_hub({"model": MODEL, "args": {"tokenizer": "a/b"}})
