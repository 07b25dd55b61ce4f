from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from instances import fitting, model_facts, tokens
from instances.catalog.origins import modelscope_path
from instances.model_facts import HubSilent
from instances.vllm.fit.room import Room
from tests.fakes.fake_hub import FakeHub
from tests.instances.vllm.fit.made import QWEN3_8B, gpu, gpus, ram

pytestmark = pytest.mark.django_db

MODEL = "Qwen/Qwen3-8B"
FILES = {"config.json": json.dumps(QWEN3_8B).encode(), "model.safetensors": b"w" * 1000}


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[FakeHub]:
    settings.HF_CACHE = tmp_path / "hub"
    settings.LLMOPS_DATA = tmp_path / "data"
    settings.LLMOPS_MODEL_ROOTS = [tmp_path / "data" / "models"]
    model_facts.forget()
    with FakeHub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", fake.url)
        fake.add(MODEL, FILES, counts={"BF16": 8_190_735_360})
        yield fake
    model_facts.forget()


def fit(model: str = MODEL, room: Room | None = None, **config: Any) -> Any:
    wanted = {"model": model, "max_model_len": 8192, **config}
    return fitting.fit_of(wanted, room=room or gpus(gpu(total=48)), accelerator="cuda", ask=fitting.ask_hub())


def test_a_model_that_is_not_here_is_judged_by_what_its_hub_says() -> None:
    assert fit().title == "Fits on GPU 0"
    assert fit(room=gpus(gpu(total=8))).verdict == "no"


def test_what_a_hub_said_is_not_asked_again(hub: FakeHub) -> None:
    fit()
    asked = len(hub.asked)
    fit(max_model_len=4096)
    assert len(hub.asked) == asked


def test_a_model_of_modelscope_is_asked_of_modelscope(hub: FakeHub, tmp_path: Path) -> None:
    hub.models[MODEL].sizes["model.safetensors"] = 16_381_470_720
    assert fit(modelscope_path(MODEL, tmp_path / "data" / "models")).title == "Fits on GPU 0"
    assert any("/api/v1/models/" in path for path in hub.asked)


def test_the_model_that_comes_as_a_package_is_known_before_it_is_here(hub: FakeHub, tmp_path: Path) -> None:
    model = str(tmp_path / "data" / "models" / "smollm2-135m-instruct")
    found = fitting.fit_of(
        {"model": model, "max_model_len": 2048}, room=ram(), accelerator="cpu", ask=fitting.ask_hub()
    )
    assert found.verdict == "fits" and found.estimate.parameters == 134_515_008
    assert not hub.asked


def test_a_gated_model_says_what_to_do_and_is_not_refused(hub: FakeHub) -> None:
    hub.models[MODEL].gated = True
    found = fit()
    assert found.verdict == "unknown" and "Accept its licence" in found.reasons[0]
    assert fitting.refusal(found) == ""


def test_a_kept_token_opens_a_gated_model_and_is_never_told(hub: FakeHub, mia: User) -> None:
    hub.models[MODEL].gated = True
    tokens.keep(actor=mia, hub="huggingface", token=hub.token)
    assert fit().title == "Fits on GPU 0"
    assert set(hub.tokens) == {hub.token}


def test_the_consoles_own_token_is_used_where_none_is_kept(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models[MODEL].gated = True
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert fit().title == "Fits on GPU 0"


@pytest.mark.parametrize(
    ("model", "words"),
    [("no/such", "has no model no/such."), ("Qwen/Qwen3-9B", "has no model Qwen/Qwen3-9B.")],
)
def test_a_model_that_no_hub_has_is_said_and_not_refused(model: str, words: str) -> None:
    found = fit(model)
    assert found.verdict == "unknown" and words in found.reasons[0]


def test_a_hub_that_is_away_is_asked_once_for_all_models(hub: FakeHub) -> None:
    hub.status = 503
    assert "failed to answer (503)" in fit().reasons[0]
    asked = len(hub.asked)
    assert "failed to answer (503)" in fit("google/gemma-3-1b-it").reasons[0]
    assert len(hub.asked) == asked


def test_a_config_that_tells_no_shape_is_said(hub: FakeHub) -> None:
    hub.add("odd/one", {**FILES, "config.json": b"[]"})
    with pytest.raises(HubSilent, match=r"no config.json that tells its shape"):
        fitting.ask_hub()("odd/one", None)


def test_a_model_that_is_too_large_is_refused_before_anything_is_fetched(
    hub: FakeHub, client: Client, mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instances.free_memory.room_of", lambda *_, **__: ram(8, 4))
    client.force_login(mia, backend="django.contrib.auth.backends.ModelBackend")
    body = json.dumps({"name": "big", "model": MODEL})
    answer = client.post("/api/models/deploy", body, content_type="application/json")
    assert answer.status_code == 422, answer.content
    assert "GiB" in answer.content.decode()
    assert hub.sent_of("model.safetensors") == 0
