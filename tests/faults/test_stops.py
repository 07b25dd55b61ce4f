"""Rows 14 and 20, and a stop in every state."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.console import Console, eventually
from tests.faults.engines import (
    all_gone,
    answers,
    ask,
    core_of,
    deploy,
    kill,
    launches,
    page,
    port_is_free,
    running,
    tree,
)

pytestmark = pytest.mark.xdist_group("roomy")


@pytest.mark.xdist_group("strict")
def test_row_14_an_engine_that_ignores_sigterm_is_killed_after_its_grace(strict: Console) -> None:
    instance_id, launch = running(strict, "a", knobs={"IGNORE_SIGTERM": "1"})
    processes = tree(strict, launch)
    time_of_stop = time.monotonic()
    ask(strict, instance_id, "stop")
    ended = strict.reaches(instance_id, "stopped")["launch"]
    assert time.monotonic() - time_of_stop >= 2 and ended["exit_code"] == -signal.SIGKILL
    all_gone(processes)


def test_row_14_a_second_stop_forces_at_once(host: Console) -> None:
    instance_id, launch = running(host, "stubborn", knobs={"IGNORE_SIGTERM": "1"})
    processes = tree(host, launch)
    ask(host, instance_id, "stop")
    host.reaches(instance_id, "stopping")
    ask(host, instance_id, "stop")  # long before the 30 seconds of grace
    assert host.reaches(instance_id, "stopped", within=25)["launch"]["exit_code"] == -signal.SIGKILL
    all_gone(processes)


def test_row_14_a_stop_early_in_the_start_works_though_the_engine_ignores_it(host: Console) -> None:
    instance_id = deploy(host, "early", knobs={"START_DELAY": "60", "IGNORE_SIGTERM_STARTING": "1"})
    launch = host.reaches(instance_id, "starting")["launch"]
    eventually(lambda: host.instance(instance_id)["launch"]["pid"])
    processes = tree(host, launch)
    ask(host, instance_id, "stop")
    host.reaches(instance_id, "stopped")
    all_gone(processes)


@pytest.mark.parametrize("state", ["initializing", "starting", "running", "unhealthy", "stopping", "error"])
def test_a_stop_works_in_every_state(host: Console, state: str) -> None:
    name = f"stop-{state}"
    knobs = {
        "initializing": {"START_DELAY": "20"},
        "starting": {"START_DELAY": "20"},
        "stopping": {"IGNORE_SIGTERM": "1"},
        "error": {"EXIT_CODE": "1"},
    }.get(state, {})
    instance_id = deploy(host, name, knobs=knobs)
    if state not in ("initializing", "starting", "error"):
        launch = host.reaches(instance_id, "running")["launch"]
        if state == "unhealthy":
            psutil.Process(launch["pid"]).suspend()
        if state == "stopping":
            ask(host, instance_id, "stop")
    if state == "initializing":  # which is over in a moment: the stop below is faster or it is not
        eventually(lambda: host.instance(instance_id)["launch"], what="there is a launch")
    else:
        host.reaches(instance_id, state)
    ask(host, instance_id, "stop")
    if state == "unhealthy":
        host.reaches(instance_id, "stopping")
        ask(host, instance_id, "stop")
    ended = "error" if state == "error" else "stopped"
    found = host.reaches(instance_id, ended)
    assert found["restart"] is None and port_is_free(found["launch"])
    assert len(launches(host, instance_id)) == 1


@pytest.mark.parametrize("who", ["main", "core"])
def test_row_20_a_frozen_engine_is_unhealthy_and_answered_503_and_others_are_not_affected(
    host: Console, who: str
) -> None:
    _, well = running(host, f"well-{who}")
    instance_id, launch = running(host, f"frozen-{who}")
    frozen = psutil.Process(launch["pid"]) if who == "main" else core_of(launch)
    frozen.suspend()
    found = host.reaches(instance_id, "unhealthy")
    assert "lives but" in found["launch"]["error"]
    assert gateway(host, f"frozen-{who}").status_code == 503
    assert gateway(host, f"well-{who}").status_code == 200 and answers(well)
    frozen.resume()
    host.reaches(instance_id, "running")
    assert gateway(host, f"frozen-{who}").status_code == 200


def gateway(console: Console, model: str) -> httpx.Response:
    return console.api(
        "POST", "/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": "hi"}]}
    )


def test_requests_that_wait_while_nothing_moves_are_no_healthy_engine(host: Console, tmp_path: Path) -> None:
    """Its health check answers all the while. The counters of the engine tell."""
    wedged = tmp_path / "wedged"
    instance_id, launch = running(host, "wedged", knobs={"WEDGE_WHEN": str(wedged)})
    wedged.touch()
    with httpx.Client(timeout=30) as client:
        request = client.build_request(
            "POST",
            f"{host.url}/v1/chat/completions",
            json={"model": "wedged", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
            headers={"Authorization": f"Bearer {host.key}"},
        )
        answer = client.send(request, stream=True)
        found = host.reaches(instance_id, "unhealthy", within=400)
        assert "makes no progress: 1 request waits" in found["launch"]["error"] and answers(launch)
        answer.close()
    kill(launch["pid"])
    ask(host, instance_id, "stop")


def test_a_model_without_a_chat_template_runs_and_its_page_says_what_does_not_work(host: Console) -> None:
    instance_id, _ = running(host, "no-template", knobs={"NO_CHAT_TEMPLATE": "1"})
    eventually(lambda: "no chat template: chats fail" in page(host, f"/instances/{instance_id}/"))
    assert "Runs, but" in page(host, "/")
