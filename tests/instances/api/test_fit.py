from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from instances import free_memory
from instances.vllm import engines
from tests.instances.vllm.fit.made import GIB, QWEN3_8B, gpu, gpus, ram


@pytest.fixture
def model(tmp_path: Path, settings: Any) -> str:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path]
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_8B))
    return str(tmp_path)


@pytest.fixture
def on_a_gpu(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(engines.Engine(Path("/opt/vllm/bin/vllm"), "0.33.0", "cuda"))
    monkeypatch.setattr(free_memory, "room_of", lambda *_, **__: gpus(gpu(0, 24), gpu(1, 24, held=3)))


def ask(page: Client, **body: Any) -> tuple[int, Any]:
    answer = page.post("/api/models/fit", json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def test_it_answers_with_need_and_room(page: Client, model: str, on_a_gpu: None) -> None:
    status, found = ask(page, name="qwen", model=model, max_model_len=8192)
    assert (status, found["verdict"]) == (200, "fits")
    assert found["weights_bytes"] == 16_381_470_720
    assert found["kv_bytes_per_token"] == found["kv_bytes_per_token_per_gpu"] == 147_456
    assert found["context"] == 8192 and found["largest_context"] > 8192
    first, second = found["places"]
    assert (first["gpu"], first["chosen"], first["total_bytes"], first["free_bytes"]) == (
        0,
        True,
        24 * GIB,
        24 * GIB,
    )
    assert first["need_bytes"] == int(24 * GIB * 0.92)
    assert (second["chosen"], second["holders"]) == (False, [{"who": "coder", "bytes": 3 * GIB}])
    assert second["need_bytes"] is None


def test_it_recommends_a_change_of_the_body(page: Client, model: str, on_a_gpu: None) -> None:
    status, found = ask(page, name="qwen", model=model)
    assert (status, found["verdict"]) == (200, "no")
    change = found["recommendation"]["change"]
    status, found = ask(page, name="qwen", model=model, **change)
    assert (status, found["verdict"]) in ((200, "fits"), (200, "tight"))


def test_a_name_is_not_needed(page: Client, model: str, on_a_gpu: None) -> None:
    assert ask(page, model=model)[0] == 200


def test_each_wrong_field_is_named(page: Client, model: str, on_a_gpu: None) -> None:
    status, found = ask(page, model=model, max_model_len="many", port=5)
    assert status == 422
    assert {one["field"] for one in found["detail"]} == {"max_model_len", "port"}


def test_ram_is_the_place_of_a_cpu_engine(page: Client, model: str, engine: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(free_memory, "room_of", lambda *_, **__: ram(64, 60))
    _status, found = ask(page, model=model, max_model_len=4096)
    (place,) = found["places"]
    assert (place["label"], place["gpu"], place["cache_bytes"]) == ("RAM", None, GIB)


def test_memory_that_gpu_and_system_share_is_told(
    page: Client, model: str, engine: Any, monkeypatch: Any
) -> None:
    """G01: a GB10 has no figure of its own."""
    from instances.vllm.fit.room import Place, Room

    shared = Place("GPU 0", 121 * GIB, 119 * GIB, (), 0, "GPU-0", "NVIDIA GB10", shared=True)
    engine(engines.Engine(Path("/opt/vllm/bin/vllm"), "0.33.0", "cuda"))
    monkeypatch.setattr(free_memory, "room_of", lambda *_, **__: Room((shared,)))
    _status, found = ask(page, model=model, max_model_len=8192)
    assert found["verdict"] == "fits" and found["places"][0]["shared_with_system"] is True


def test_nobody_asks_without_a_login(client: Client) -> None:
    assert client.post("/api/models/fit", "{}", content_type="application/json").status_code == 401
