"""The JSON API, whole, against a real console with the fake engine: shapes are a contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.console import Console, eventually

LAUNCH_KEYS = set(
    "id state phase progress port pid host started_at ready_at ended_at exit_code error".split()
)
INSTANCE_KEYS = set("id name served_name model desired_state restart endpoint launch".split())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    console = Console(Path(tmp_path_factory.mktemp("api")) / "data")
    console.start()
    console.make_administrator()
    yield console
    console.close()


@pytest.fixture
def tiny(running: Console) -> Iterator[dict[str, Any]]:
    answer = running.api("POST", "/api/models/deploy", json={"name": "tiny", "preset": "tiny-demo"})
    assert answer.status_code == 201, answer.text
    yield answer.json()
    running.api("DELETE", f"/api/models/{answer.json()['id']}")
    eventually(lambda: running.api("GET", "/api/models/list").json() == [])


def test_the_whole_life_of_an_instance(running: Console, tiny: dict[str, Any]) -> None:
    assert set(tiny) == INSTANCE_KEYS
    assert (tiny["desired_state"], tiny["served_name"]) == ("running", "tiny")
    assert tiny["endpoint"] == f"{running.url}/v1"
    up = running.reaches(tiny["id"], "running")
    assert set(up["launch"]) == LAUNCH_KEYS
    assert up["launch"]["ready_at"].endswith("Z") and up["launch"]["pid"] and up["launch"]["port"]
    assert [one["id"] for one in running.api("GET", "/api/models/list").json()] == [tiny["id"]]
    status = running.api("GET", "/api/system/status").json()
    assert set(status) == {"cpu", "memory", "disk", "gpus", "engines", "instances"}
    assert status["instances"]["running"] == 1

    assert running.api("POST", f"/api/models/{tiny['id']}/restart").status_code == 202

    def again() -> bool:
        launch = running.instance(tiny["id"])["launch"]
        return bool(launch["id"] != up["launch"]["id"] and launch["state"] == "running")

    eventually(again, what="a second launch runs")
    stopped = running.api("POST", f"/api/models/{tiny['id']}/stop")
    assert (stopped.status_code, stopped.json()["desired_state"]) == (202, "stopped")
    ended = running.reaches(tiny["id"], "stopped")
    assert ended["launch"]["exit_code"] == 0 and not psutil.pid_exists(up["launch"]["pid"])
    assert running.api("POST", f"/api/models/{tiny['id']}/stop").status_code == 202
    history = running.api("GET", f"/api/models/{tiny['id']}/launches").json()
    assert [launch["state"] for launch in history] == ["stopped", "stopped"]
    assert running.api("GET", f"/api/models/{tiny['id']}/revisions").json()[0]["number"] == 1


def test_chat_by_key_and_name_streams_and_models_are_listed(running: Console, tiny: dict[str, Any]) -> None:
    running.reaches(tiny["id"], "running")
    assert [model["id"] for model in running.api("GET", "/v1/models").json()["data"]] == ["tiny"]
    question = {"model": "tiny", "messages": [{"role": "user", "content": "What is the capital of Japan?"}]}
    for path in ("/v1/chat/completions", "/api/chat/completions"):
        answer = running.api("POST", path, json=question).json()
        assert "Tokyo" in answer["choices"][0]["message"]["content"]
        streamed = running.api("POST", path, json={**question, "stream": True})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        chunks = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: ")]
        assert chunks[-1] == "[DONE]"
        deltas = [json.loads(chunk)["choices"] for chunk in chunks[:-1]]
        assert sum(bool(choices and choices[0]["delta"].get("content")) for choices in deltas) >= 3


def test_logs_go_on_from_an_offset(running: Console, tiny: dict[str, Any]) -> None:
    running.reaches(tiny["id"], "running")
    path = f"/api/models/{tiny['id']}/logs"
    first = running.api("GET", f"{path}?offset=0&limit=3").json()
    assert [set(line) for line in first["lines"]] == [{"offset", "time", "level", "text"}] * 3
    rest = running.api("GET", f"{path}?offset={first['next_offset']}&limit=3").json()
    whole = running.api("GET", f"{path}?offset=0&limit=6").json()
    assert whole["lines"] == first["lines"] + rest["lines"]
    hits = running.api("GET", f"{path}?offset=0&search=application startup").json()["lines"]
    assert hits and all("application startup" in line["text"].lower() for line in hits)
    assert running.api("GET", f"{path}?limit=0").status_code == 422


def test_the_engines_own_metrics_are_relayed(running: Console, tiny: dict[str, Any]) -> None:
    running.reaches(tiny["id"], "running")
    assert "vllm:num_requests_running" in running.api("GET", f"/api/models/{tiny['id']}/metrics").text


def test_a_patch_is_a_new_revision_and_what_runs_goes_on(running: Console, tiny: dict[str, Any]) -> None:
    before = running.reaches(tiny["id"], "running")["launch"]
    answer = running.api("PATCH", f"/api/models/{tiny['id']}", json={"max_model_len": "512"})
    assert answer.status_code == 200, answer.text
    newest = running.api("GET", f"/api/models/{tiny['id']}/revisions").json()[0]
    assert (newest["number"], newest["configuration"]["max_model_len"]) == (2, 512)
    assert running.instance(tiny["id"])["launch"]["id"] == before["id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x"}, "model"),
        ({"name": "X", "preset": "tiny-demo"}, "name"),
        ({"name": "x", "preset": "nope"}, "preset"),
        ({"name": "x", "preset": "tiny-demo", "port": 80}, "port"),
        ({"name": "x", "preset": "tiny-demo", "prot": 8100}, "prot"),
        ({"name": "x", "preset": "tiny-demo", "max_model_len": 0}, "max_model_len"),
        ({"name": "x", "model": "/etc"}, "model"),
        ({"name": "x", "preset": "tiny-demo", "gpu_memory_utilization": 2}, "gpu_memory_utilization"),
    ],
)
def test_422_names_each_wrong_field(running: Console, body: dict[str, Any], field: str) -> None:
    answer = running.api("POST", "/api/models/deploy", json=body)
    assert answer.status_code == 422, answer.text
    assert field in {one["field"] for one in answer.json()["detail"]}
    assert all(one["message"] for one in answer.json()["detail"])


# row 36, row 37: flags and environment that are not the person's to set
@pytest.mark.parametrize(
    "given",
    [{"args": {"host": "0.0.0.0"}}, {"args": {"middleware": "x.y"}}, {"env": {"LD_PRELOAD": "/tmp/x.so"}}],
)
def test_dangerous_flags_and_environment_are_refused(running: Console, given: dict[str, Any]) -> None:
    answer = running.api("POST", "/api/models/deploy", json={"name": "x", "preset": "tiny-demo", **given})
    assert answer.status_code == 422, answer.text


# row 23: beyond the limit
def test_a_start_beyond_the_limit_is_409_and_saves_nothing(tmp_path: Path) -> None:
    console = Console(tmp_path / "data", LLMOPS_MAX_INSTANCES="1")
    try:
        console.start()
        console.make_administrator()
        assert (
            console.api("POST", "/api/models/deploy", json={"name": "a", "preset": "tiny-demo"}).status_code
            == 201
        )
        refused = console.api("POST", "/api/models/deploy", json={"name": "b", "preset": "tiny-demo"})
        assert refused.status_code == 409 and "1 of 1" in refused.json()["detail"]
        assert len(console.api("GET", "/api/models/list").json()) == 1
    finally:
        console.close()


def test_without_a_key_or_a_session_it_is_401(running: Console) -> None:
    for path in ("/api/models/list", "/api/system/status", "/v1/models", "/metrics"):
        assert httpx.get(running.url + path, timeout=30).status_code == 401, path
        wrong = httpx.get(running.url + path, headers={"Authorization": "Bearer llmops-wrong"}, timeout=30)
        assert wrong.status_code == 401, path


def test_an_unknown_instance_is_404(running: Console) -> None:
    for method, path in (("GET", ""), ("POST", "/start"), ("DELETE", ""), ("GET", "/logs")):
        assert running.api(method, f"/api/models/999{path}").status_code == 404


def test_without_a_gpu_it_is_200_an_empty_list_and_the_reason(running: Console) -> None:
    answer = running.api("GET", "/api/system/gpu")
    assert answer.status_code == 200
    assert answer.json()["gpus"] or answer.json()["reason"]


def test_our_prometheus_page_begins_with_our_name(running: Console) -> None:
    names = [line.split()[0] for line in running.api("GET", "/metrics").text.splitlines() if line[:1] != "#"]
    assert names and all(name.startswith("llmops_") for name in names)


# row 40: canary secrets
def test_no_secret_is_in_argv_or_in_an_answer(running: Console, tiny: dict[str, Any]) -> None:
    launch = running.reaches(tiny["id"], "running")["launch"]
    spec = json.loads((running.data / "launches" / str(launch["id"]) / "spec.json").read_text())
    key = spec["env"]["VLLM_API_KEY"]
    assert len(key) > 30
    for process in [psutil.Process(launch["pid"]), *psutil.Process(launch["pid"]).parents()]:
        assert key not in " ".join(process.cmdline())
    for path in ("", "/logs?offset=0&limit=10000", "/launches", "/revisions", "/metrics"):
        assert key not in running.api("GET", f"/api/models/{tiny['id']}{path}").text
    secret_key = (running.data / "secret_key").read_text()
    assert secret_key not in json.dumps(spec)
