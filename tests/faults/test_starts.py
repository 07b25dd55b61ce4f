"""Rows 10 to 13 and 23: starts that must not become RUNNING, or that must wait."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from instances.supervisor.ports import listeners
from tests.console import FAKE_VLLM, Console, eventually
from tests.faults.engines import ask, deploy, launches, page, port_is_free, running

pytestmark = pytest.mark.xdist_group("roomy")
DEMO = FAKE_VLLM.parents[2] / "demo" / "tiny-chat"


def test_row_10_a_stranger_on_the_port_is_named_and_nothing_runs(host: Console) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        instance_id = deploy(host, "stranger", port=port)
        launch = host.reaches(instance_id, "error")["launch"]
    assert f"Port {port} is in use by" in launch["error"] and "(process " in launch["error"]
    assert launch["pid"] is None and len(launches(host, instance_id)) == 1
    ask(host, instance_id, "start")
    host.reaches(instance_id, "running")


def test_row_10_a_stale_engine_that_comes_to_share_the_port_is_found_before_it_runs(
    host: Console, tmp_path: Path
) -> None:
    port, going_on = host.ports.take(), tmp_path / "go on"
    knobs = {"HANG_PHASE": "warm_up", "HANG": "computes", "HANG_UNTIL": str(going_on)}
    instance_id = deploy(host, "shared", port=port, knobs=knobs, restart_policy="never")
    host.reaches(instance_id, "starting")
    eventually(lambda: host.instance(instance_id)["launch"]["phase"] == "warm_up", what="it has its port")
    with stale_engine(port) as stale:
        going_on.touch()
        launch = host.reaches(instance_id, "error")["launch"]
        assert f"Port {port} is shared with" in launch["error"] and launch["ready_at"] is None
        assert names_one_of(stale, launch["error"])
        assert stale.poll() is None  # not ours to end


def test_row_10_a_stale_engine_that_comes_later_makes_it_unhealthy_while_it_stays(host: Console) -> None:
    instance_id, launch = running(host, "shared-late", restart_policy="never")
    with stale_engine(launch["port"]) as stale:
        unwell = host.reaches(instance_id, "unhealthy")["launch"]
        assert f"Port {launch['port']} is shared with" in unwell["error"]
        assert names_one_of(stale, unwell["error"]) and unwell["pid"] == launch["pid"]
    well = host.reaches(instance_id, "running")["launch"]
    assert well["pid"] == launch["pid"] and not well["error"]


@contextmanager
def stale_engine(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """One that nobody looks after, listening there; only its main process is told to end."""
    command = [sys.executable, str(FAKE_VLLM), "serve", str(DEMO), "--port", str(port)]
    stale = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: pids_of(stale) & listeners(port), what="the stale engine listens")
        yield stale
    finally:
        stale.terminate()
        stale.wait()


def pids_of(stale: subprocess.Popen[bytes]) -> set[int]:
    """The inner process inherits the listener; either may be named."""
    return {stale.pid, *(child.pid for child in psutil.Process(stale.pid).children())}


def names_one_of(stale: subprocess.Popen[bytes], text: str) -> bool:
    return any(f"(process {pid} of" in text for pid in pids_of(stale))


def test_row_11_a_slow_start_that_gets_on_is_waited_for(host: Console) -> None:
    instance_id = deploy(host, "slow", knobs={"START_DELAY": "16"})  # nearly twice the stall deadline
    assert host.reaches(instance_id, "running")["launch"]["ready_at"]


def test_row_11_a_silent_start_that_computes_is_waited_for(host: Console) -> None:
    instance_id = deploy(
        host, "compiles", knobs={"HANG_PHASE": "compile", "HANG": "computes", "HANG_FOR": "12"}
    )
    assert host.reaches(instance_id, "running")["launch"]["error"] == ""


@pytest.mark.parametrize("manner", ["silent", "talks"])
def test_row_11_a_start_that_stalls_is_ended_with_its_phase(host: Console, manner: str) -> None:
    knobs = {"HANG_PHASE": "weights", "HANG": manner}
    instance_id = deploy(host, f"stalls-{manner}", knobs=knobs, restart_policy="never")
    launch = host.reaches(instance_id, "error", within=30)["launch"]
    assert "no progress" in launch["error"] and "weights" in launch["error"].lower()
    assert port_is_free(launch)


@pytest.mark.xdist_group("strict")
def test_row_11_a_start_beyond_its_deadline_is_ended(strict: Console) -> None:
    instance_id = deploy(strict, "late", knobs={"START_DELAY": "60"}, restart_policy="never")
    launch = strict.reaches(instance_id, "error")["launch"]
    assert "that a start may take" in launch["error"] and port_is_free(launch)


def test_row_12_a_crash_loop_backs_off_and_stop_ends_it(host: Console) -> None:
    knobs = {"EXIT_CODE": "1", "EXIT_PHASE": "memory"}
    instance_id = deploy(host, "loops", knobs=knobs)
    first = host.reaches(instance_id, "error")
    assert first["restart"]["attempt"] == 1 and first["restart"]["of"] == 5
    second = eventually(
        lambda: len(launches(host, instance_id)) == 2 and host.instance(instance_id), within=25
    )
    assert second
    again = host.reaches(instance_id, "error")
    assert again["restart"]["attempt"] == 2
    ask(host, instance_id, "stop")
    assert host.instance(instance_id)["restart"] is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"no-such-flag": 1}, "There is no flag --no-such-flag in vLLM"),
        ({"scheduling-policy": "lifo"}, "Choose one of: fcfs, priority."),
    ],
)
def test_row_13_what_the_engine_would_refuse_is_refused_before_a_start(
    host: Console, args: dict[str, Any], words: str
) -> None:
    body = {"name": "never", "preset": "tiny-demo", "args": args}
    answer = host.api("POST", "/api/models/deploy", json=body)
    assert answer.status_code == 422, answer.text
    (wrong,) = answer.json()["detail"]
    assert wrong["field"] == "args" and words in wrong["message"]
    assert "never" not in [instance["name"] for instance in host.api("GET", "/api/models/list").json()]


def test_row_13_what_only_the_engine_knows_to_be_wrong_is_final_in_its_own_words(host: Console) -> None:
    instance_id = deploy(host, "refused", args={"compilation-config": {"custom_ops": 5}})
    found = host.reaches(instance_id, "error")
    assert "CompilationConfig does not know a name" in found["launch"]["error"]
    assert (
        found["launch"]["exit_code"] == 2
        and found["restart"] is None
        and len(launches(host, instance_id)) == 1
    )
    text = page(host, f"/instances/{instance_id}/")
    assert "--compilation-config" in text and "error: " in text


def test_row_13_a_model_that_is_not_there_is_final(host: Console) -> None:
    folder = host.data / "models" / "gone"
    folder.mkdir(parents=True)
    instance_id = deploy(host, "no-model", model=str(folder), start=False)
    folder.rmdir()
    ask(host, instance_id, "start")
    found = host.reaches(instance_id, "error")
    assert str(folder) in found["launch"]["error"] and found["restart"] is None


@pytest.mark.xdist_group("strict")
@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        (None, "", "does not exist"),
        (0o600, "#!/bin/sh\n", "cannot be executed"),
        (0o700, "#!/no/such/python\n", "names an interpreter in its first line that does not exist"),
        (0o700, "\x7fELF nonsense", "no program that this machine can run"),
    ],
)
def test_row_13_a_command_that_cannot_be_run_is_final(
    strict: Console, engine_command: Path, mode: int | None, content: str, words: str
) -> None:
    if mode is not None:
        engine_command.write_text(content)
        engine_command.chmod(mode)
    instance_id = deploy(strict, "a")
    found = strict.reaches(instance_id, "error")
    assert found["restart"] is None and str(engine_command) in found["launch"]["error"]
    assert words in found["launch"]["error"]


@pytest.mark.xdist_group("strict")
def test_row_23_beyond_the_limit_is_a_sentence_and_nothing_is_saved(strict: Console) -> None:
    for name in "abc":
        running(strict, name)
    fourth = strict.api("POST", "/api/models/deploy", json={"name": "d", "preset": "tiny-demo"})
    assert fourth.status_code == 409
    assert "3 of 3 instances should run already: a, b, c." in fourth.json()["detail"]
    assert [one["name"] for one in strict.api("GET", "/api/models/list").json()] == ["a", "b", "c"]
