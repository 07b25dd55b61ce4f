"""Two web servers and a supervisor, each in a process of its own: one console all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import httpx
import psutil
import pytest

from tests.console import ROOT, eventually

from .console import SeveralConsole, heard, log_lines

pytestmark = pytest.mark.xdist_group("several")

DEMO = {"name": "tiny", "preset": "tiny-demo"}
MIA = ("mia", "a-long-password")
QUESTION = {"model": "tiny", "messages": [{"role": "user", "content": "What is the capital of Japan?"}]}


def deployed(several: SeveralConsole, **body: Any) -> int:
    answer = several.webs[0].api("POST", "/api/models/deploy", json={**DEMO, **body})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def answers(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/health", timeout=30).status_code == 200


def test_what_is_done_on_one_is_seen_on_the_other(several: SeveralConsole) -> None:
    first, second = several.webs
    browser = first.signed_in(*MIA)
    assert second.url not in str(browser.base_url)
    page = httpx.get(f"{second.url}/", cookies=browser.cookies, timeout=30)
    assert page.status_code == 200 and "mia" in page.text  # the session holds on both

    with second.live(browser.cookies) as live:
        heard(live, 'id="recent"')
        instance_id = deployed(several)
        heard(live, 'data-state="running"', "tiny")
        heard(live, '"system-cpu-value":')  # readings, which travel in the message
        launch = second.reaches(instance_id, "running")["launch"]
        assert launch == first.instance(instance_id)["launch"]
        with second.log(instance_id) as log:
            lines = log_lines(log, "Application startup complete")
        assert lines[0]["offset"] == 0

        for web in several.webs:
            answer = web.api("POST", "/v1/chat/completions", json=QUESTION)
            assert "Tokyo" in answer.json()["choices"][0]["message"]["content"]

        assert second.api("POST", f"/api/models/{instance_id}/stop").status_code == 202
        assert first.reaches(instance_id, "stopped")["launch"]["id"] == launch["id"]
        heard(live, 'data-state="stopped"')
    assert not psutil.pid_exists(launch["pid"])


def test_the_death_of_one_web_server_hurts_nothing(several: SeveralConsole) -> None:
    first, second = several.webs
    instance_id = deployed(several)
    before = second.reaches(instance_id, "running")["launch"]
    assert first.process is not None
    first.process.kill()
    first.process.wait(10)
    assert second.instance(instance_id)["launch"]["pid"] == before["pid"] and answers(before["port"])
    second.api("POST", f"/api/models/{instance_id}/restart")
    after = eventually(
        lambda: (
            (launch := second.instance(instance_id)["launch"])["id"] != before["id"]
            and launch["state"] == "running"
            and launch
        )
    )
    assert after["pid"] != before["pid"]


# row 1: SIGKILL the supervisor while an engine is RUNNING
def test_a_new_supervisor_takes_up_what_the_killed_one_left(several: SeveralConsole) -> None:
    second = several.webs[1]
    instance_id = deployed(several)
    before = second.reaches(instance_id, "running")["launch"]
    with second.log(instance_id) as log:
        log_lines(log, "Application startup complete")
        several.end(signal.SIGKILL)
        mark = several.data / "reconciled"
        mark.unlink()
        assert answers(before["port"])
        several.start_supervisor()
        assert second.instance(instance_id)["launch"] == before
        second.api("POST", "/v1/chat/completions", json=QUESTION)
        log_lines(log, "POST /v1/chat/completions")  # the same socket, and the same engine goes on writing
    several.webs[0].api("POST", f"/api/models/{instance_id}/stop")
    second.reaches(instance_id, "stopped")


# row 8: a second supervisor on the same data folder
def test_a_second_supervisor_refuses_and_says_who_holds_the_lock(several: SeveralConsole) -> None:
    assert several.process is not None
    for command in (["runworker", "supervisor"], ["serve", "--bind", "127.0.0.1:0"]):
        second = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=several.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert f"Process {several.process.pid} already supervises" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
    os.kill(several.process.pid, 0)
