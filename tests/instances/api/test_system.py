"""The machine for programs, and the engines for Prometheus."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances.states import State
from monitoring import latest
from tests.instances.made import in_state


@pytest.fixture
def hanging_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reading was heard, and a look of our own does not come back in time."""
    monkeypatch.setattr(latest, "_heard", None)
    monkeypatch.setattr(latest, "gpus_now", lambda: None)


def test_a_driver_that_hangs_holds_up_no_call(page: Client, hanging_driver: None) -> None:
    gpus = page.get("/api/system/gpu").json()
    assert (gpus["gpus"], gpus["reason"]) == ([], "The NVIDIA driver does not answer.")
    status = page.get("/api/system/status")
    assert status.status_code == 200 and status.json()["gpus"] == []
    metrics = page.get("/metrics")
    assert metrics.status_code == 200 and "llmops_gpus 0.0" in metrics.content.decode()


def test_targets_are_addressed_as_the_caller_has_reached_us(page: Client, mia: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["atlas"]
    running = in_state(mia, State.RUNNING, "tiny", ready_at=timezone.now())
    answer = page.get("/api/system/targets", headers={"host": "atlas:7860"})
    (found,) = answer.json()
    assert answer.headers["content-type"].startswith("application/json")
    assert found["targets"] == ["atlas:7860"]
    assert found["labels"] == {
        "__scheme__": "http",
        "__metrics_path__": f"/api/models/{running.pk}/metrics",
        "instance": "tiny",
        "served_name": "tiny",
        "host": found["labels"]["host"],
    }


def test_the_engines_page_is_relayed_as_it_is_and_without_its_key(
    page: Client, mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def get(url: str, **options: Any) -> httpx.Response:
        asked.append(options)
        return httpx.Response(200, content=b"vllm:x 1\n", headers={"content-type": "text/plain; version=9"})

    monkeypatch.setattr(httpx, "get", get)
    running = in_state(mia, State.RUNNING, port=1, ready_at=timezone.now())
    answer = page.get(f"/api/models/{running.pk}/metrics")
    assert (answer.content, answer.headers["content-type"]) == (b"vllm:x 1\n", "text/plain; version=9")
    assert "canary" not in str(asked) + str(answer.headers)


@pytest.mark.parametrize(
    ("state", "status", "sentence"),
    [(State.STOPPED, 503, "The engine does not run."), (State.RUNNING, 502, "The engine does not answer.")],
)
def test_without_an_engine_that_answers_a_sentence_says_so(
    page: Client, mia: User, state: State, status: int, sentence: str
) -> None:
    ended: dict[str, Any] = (
        {"ended_at": timezone.now()} if state == State.STOPPED else {"ready_at": timezone.now()}
    )
    instance = in_state(mia, state, port=1, **ended)
    answer = page.get(f"/api/models/{instance.pk}/metrics")
    assert (answer.status_code, answer.content.decode().strip()) == (status, sentence)
    assert answer.headers["content-type"].startswith("text/plain")
