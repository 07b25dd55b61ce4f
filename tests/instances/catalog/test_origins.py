from __future__ import annotations

from pathlib import Path

import pytest

from instances.catalog.origins import Origin, modelscope_path, origin_of

MODELS = Path("/srv/models")


@pytest.mark.parametrize(
    ("model", "kind", "id", "folder"),
    [
        ("Qwen/Qwen3-8B", "hub", "Qwen/Qwen3-8B", None),
        ("gpt2", "hub", "gpt2", None),
        ("/srv/models/smollm2-135m-instruct", "package", "smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("/srv/models/modelscope/Qwen/Qwen3-8B", "modelscope", "Qwen/Qwen3-8B", "modelscope/Qwen/Qwen3-8B"),
    ],
)
def test_a_name_tells_where_its_files_come_from(model: str, kind: str, id: str, folder: str | None) -> None:
    found = origin_of(model, MODELS)
    assert (found.kind, found.id, found.folder) == (kind, id, folder and MODELS / folder)


@pytest.mark.parametrize(
    "model",
    [
        "/data/qwen",
        "/srv/models/mine",
        "/srv/models/modelscope/Qwen",
        "/srv/models/modelscope/Qwen/Qwen3-8B/deeper",
        "/srv/models/modelscope/a/../../../etc/x",
        "/srv/models/modelscope/a/.hidden",
    ],
)
def test_any_other_path_is_nobodys_and_never_fetched(model: str) -> None:
    assert origin_of(model, MODELS).kind == "local"


def test_a_name_of_modelscope_becomes_a_path_and_back() -> None:
    assert origin_of(modelscope_path("a/b", MODELS), MODELS) == Origin(
        "modelscope", "a/b", MODELS / "modelscope/a/b"
    )
