"""The console in one process, for real, with the fake engine."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from tests.console import ROOT, Console

DEMO = {"name": "tiny", "preset": "tiny-demo"}


def test_it_prints_the_setup_address_until_it_is_used(console: Console) -> None:
    console.start()
    address = next(word for word in console.output.split() if "/setup/?token=" in word)
    page = httpx.get(address, timeout=30)
    assert page.status_code == 200 and address.partition("token=")[2] in page.text
    console.end()
    console.start()
    assert console.output.count(address) == 2
    console.make_administrator()
    console.end()
    (console.data / "console.out").unlink()
    console.start()
    assert "/setup/" not in console.output


def test_a_taken_port_is_one_sentence_and_exit_1(console: Console) -> None:
    console.start()
    second = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "serve"],
        env={**console.environment, "LLMOPS_DATA": str(console.data.parent / "other")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{console.port}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


# row 8: a second supervisor on the same data folder
def test_a_second_console_on_the_same_data_refuses(console: Console) -> None:
    console.start()
    second = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "serve", "--bind", "127.0.0.1:0"],
        env=console.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert (
        console.process is not None and f"Process {console.process.pid} already supervises" in second.stderr
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_with_pages_open_and_engines_go_on(console: Console, number: int) -> None:
    console.start()
    console.make_administrator()
    instance_id = console.api("POST", "/api/models/deploy", json=DEMO).json()["id"]
    pid = console.reaches(instance_id, "running")["launch"]["pid"]
    bearer = {"Authorization": f"Bearer {console.key}"}
    slow = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 5000,
    }
    with (
        connect(
            f"ws://127.0.0.1:{console.port}/api/models/ws/logs/{instance_id}", additional_headers=bearer
        ) as log,
        httpx.stream(
            "POST", f"{console.url}/v1/chat/completions", headers=bearer, json=slow, timeout=30
        ) as answer,
    ):
        log.recv(timeout=10)
        next(answer.iter_lines())
        code = console.end(number)
    assert code == 0, console.output
    assert psutil.pid_exists(pid)


def test_stop_engines_ends_all_without_a_console(console: Console) -> None:
    console.start()
    console.make_administrator()
    instance_id = console.api("POST", "/api/models/deploy", json=DEMO).json()["id"]
    pid = console.reaches(instance_id, "running")["launch"]["pid"]
    console.end()
    assert "No engine runs." in console.manage("stop_engines")
    assert not psutil.pid_exists(pid)
    console.start()
    assert console.instance(instance_id)["launch"]["state"] == "stopped"


def test_stop_engines_works_beside_a_running_console(console: Console) -> None:
    console.start()
    console.make_administrator()
    instance_id = console.api("POST", "/api/models/deploy", json=DEMO).json()["id"]
    console.reaches(instance_id, "running")
    assert "No engine runs." in console.manage("stop_engines")
    assert console.instance(instance_id)["launch"]["state"] == "stopped"


def test_without_an_engine_it_starts_and_says_what_is_missing(tmp_path: Path) -> None:
    console = Console(tmp_path / "data", vllm=tmp_path / "no-such-vllm")
    try:
        console.start()
        console.make_administrator()
        assert console.api("GET", "/api/system/status").json()["engines"] == []
        instance_id = console.api("POST", "/api/models/deploy", json=DEMO).json()["id"]
        launch = console.reaches(instance_id, "error")["launch"]
        assert "no-such-vllm" in launch["error"]
    finally:
        console.close()
