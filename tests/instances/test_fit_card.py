"""The card "Does it fit?" beside the form, and what a launch's page says of the estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from instances import free_memory
from instances.models import Instance
from instances.states import State
from instances.vllm import engines
from instances.vllm.fit.room import Room
from tests.instances.made import make_instance, make_launch
from tests.instances.vllm.fit.made import QWEN3_8B, gpu, gpus


@pytest.fixture
def model(tmp_path: Path, settings: Any) -> str:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path]
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_8B))
    return str(tmp_path)


@pytest.fixture
def room(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[Room]:
    """An engine for GPUs; the list's only item is what is free."""
    engine(engines.Engine(Path("/opt/vllm/bin/vllm"), "0.33.0", "cuda"))
    rooms = [gpus(gpu(0, 24), gpu(1, 24, held=20))]
    monkeypatch.setattr(free_memory, "room_of", lambda *_, **__: rooms[0])
    return rooms


def typed(model: str, **fields: str) -> dict[str, str]:
    return {"name": "qwen", "model": model, "restart": "on", **fields}


def redrawn(page: Client, fields: dict[str, str]) -> str:
    return page.post("/deploy/command/", fields).content.decode()


def test_the_page_opens_with_the_answer_for_the_demo(page: Client, engine: Any) -> None:
    text = page.get("/deploy/").content.decode()
    assert 'id="deploy-fit"' in text and "Fits into memory" in text


def test_every_change_redraws_the_answer(page: Client, model: str, room: list[Room]) -> None:
    text = redrawn(page, typed(model, max_model_len="8192"))
    assert 'id="deploy-fit" hx-swap-oob="true"' in text
    assert "Fits on GPU 0" in text and 'data-state="ok"' in text
    assert "Room for " in text and "not chosen" in text
    assert 'aria-label="GPU 0: weights 15.3 GiB, ' in text


def test_what_does_not_fit_says_why_and_offers_what_does(page: Client, model: str, room: list[Room]) -> None:
    text = redrawn(page, typed(model, max_model_len="40960"))
    assert "Does not fit" in text and "A context of 40,960 tokens needs 5.6 GiB of KV cache" in text
    assert "Largest context that fits" in text and "Set the context length to " in text


def test_a_context_beyond_the_models_is_reckoned_with_the_models(
    page: Client, model: str, room: list[Room]
) -> None:
    room[0] = gpus(gpu(0, 48))
    text = redrawn(page, typed(model, max_model_len="262144"))
    assert "Reckoned with a context of 40,960 tokens." in text


def test_a_name_in_the_answer_is_text(page: Client, model: str, room: list[Room]) -> None:
    from instances.vllm.fit.room import Holder, Place

    room[0] = Room((Place("GPU 0", 24 * 2**30, 4 * 2**30, (Holder("<b>x</b>", 20 * 2**30),), 0),))
    assert "<b>x" not in redrawn(page, typed(model))


def test_the_advice_is_laid_over_what_was_typed(page: Client, model: str, room: list[Room]) -> None:
    fields = typed(model, max_model_len="40960", args="--seed 7")
    take = json.dumps({"max_model_len": 16384, "args": {"kv-cache-dtype": "fp8"}})
    answer = page.post(
        "/deploy/", fields | {"take": take}, headers={"HX-Request": "true", "HX-Target": "deploy-fields"}
    )
    text = answer.content.decode()
    assert answer.status_code == 200 and Instance.objects.count() == 0
    assert 'value="16384"' in text and "--seed 7" in text and "--kv-cache-dtype fp8" in text
    assert 'id="deploy-fit" hx-swap-oob="true"' in text


@pytest.mark.parametrize(
    "take", ["", "{broken", "[]", "null", '{"nonsense": 1, "args": 5, "gpus": [5], "env": {"A": "b"}}']
)
def test_an_odd_change_changes_nothing(page: Client, model: str, room: list[Room], take: str) -> None:
    answer = page.post("/deploy/", typed(model, max_model_len="4096") | {"take": take})
    assert answer.status_code == 200 and 'value="4096"' in answer.content.decode()
    assert Instance.objects.count() == 0


def test_what_a_running_instance_holds_is_given_back_before_its_change(
    page: Client, mia: User, model: str, room: list[Room], monkeypatch: Any
) -> None:
    asked: list[Any] = []

    def look(*_: object, leaving: Instance | None = None, **__: object) -> Room:
        asked.append(leaving)
        return room[0]

    monkeypatch.setattr(free_memory, "room_of", look)
    instance = make_instance(mia, "qwen", model=model)
    make_launch(instance, State.RUNNING)
    text = page.get(f"/deploy/?from={instance.pk}").content.decode()
    assert asked == [instance] and "Reckoned as if what qwen holds now were free." in text


def test_a_launch_page_compares_what_was_estimated_and_measured(page: Client, mia: User, engine: Any) -> None:
    launch = make_launch(
        make_instance(mia),
        State.STOPPED,
        estimate={"weights": 277 * 2**20, "tokens": 4096},
        measured={"checkpoint": 269 * 2**20, "tokens": 4096},
    )
    text = page.get(f"/instances/{launch.instance_id}/launches/{launch.pk}/").content.decode()
    assert "estimated 277 MiB, measured 269 MiB" in text and "3.0 % off" in text


def test_a_launch_page_is_silent_where_nothing_was_measured(page: Client, mia: User, engine: Any) -> None:
    launch = make_launch(make_instance(mia), State.STOPPED)
    assert (
        "launch-fit"
        not in page.get(f"/instances/{launch.instance_id}/launches/{launch.pk}/").content.decode()
    )
