"""Rows 1 to 9: whatever is killed, the states come true and nothing is left over."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.console import ROOT, Console, eventually
from tests.faults.engines import (
    all_gone,
    answers,
    ask,
    core_of,
    deploy,
    directory,
    identity,
    kill,
    launches,
    lives,
    log_texts,
    port_is_free,
    running,
    tree,
)

pytestmark = pytest.mark.xdist_group("roomy")


def test_row_1_an_engine_outlives_its_console_and_is_taken_up_with_its_log(host: Console) -> None:
    instance_id, before = running(host, "a", knobs={"START_DELAY": "1"})
    lines = log_texts(host, instance_id)
    host.end(signal.SIGKILL)
    assert answers(before)
    host.start()
    after = host.reaches(instance_id, "running", within=2)["launch"]
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    now = log_texts(host, instance_id)
    assert now[: len(lines)] == lines and not [text for text in now if "dropped here" in text]
    ask(host, instance_id, "stop")
    host.reaches(instance_id, "stopped")
    assert not psutil.pid_exists(before["pid"])


def test_row_2_cut_off_between_spawn_and_commit_there_is_exactly_one_engine(host: Console) -> None:
    host.end()
    cut = Path(__file__).with_name("cut_before_commit.py")
    process = subprocess.Popen([sys.executable, str(cut)], env=host.environment, cwd=ROOT)
    host.process = process
    eventually(host.is_ready, within=60)
    before = set((host.data / "launches").glob("*/spec.json"))
    instance_id = deploy(host, "a", knobs={"START_DELAY": "2"}, start=False)
    with suppress(httpx.TransportError):  # it may end before it has answered
        ask(host, instance_id, "start")
    assert process.wait(60) == -signal.SIGKILL
    host.process = None
    assert len(set((host.data / "launches").glob("*/spec.json")) - before) == 1  # it had been started
    host.start()
    launch = host.reaches(instance_id, "running")["launch"]
    assert len(launches(host, instance_id)) == 1
    engines = [
        one for one in psutil.process_iter(["cmdline"]) if f"{launch['port']}" in (one.info["cmdline"] or [])
    ]
    assert [one.pid for one in engines if one.ppid() == identity(host, launch)["shim"]["pid"]] == [
        launch["pid"]
    ]


def test_row_3_a_stop_that_was_cut_off_is_completed_by_the_next_supervisor(host: Console) -> None:
    instance_id, launch = running(host, "a", knobs={"IGNORE_SIGTERM": "1"})
    processes = tree(host, launch)
    ask(host, instance_id, "stop")
    host.reaches(instance_id, "stopping")
    host.end(signal.SIGKILL)
    assert lives(processes[1])
    host.start()
    ask(host, instance_id, "stop")  # not to wait for the 30 seconds of grace
    ended = host.reaches(instance_id, "stopped", within=20)["launch"]
    assert ended["id"] == launch["id"] and ended["exit_code"] == -signal.SIGKILL
    all_gone(processes)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_row_4_an_end_while_nobody_looked_is_recorded_as_it_was(
    host: Console, number: int, code: int
) -> None:
    instance_id, launch = running(host, "a", restart_policy="never")
    host.end(signal.SIGKILL)
    began = time.time()
    psutil.Process(launch["pid"]).send_signal(number)
    eventually(lambda: (directory(host, launch) / "exit.json").read_text().strip(), what="the shim's record")
    died = time.time()
    host.start()
    ended = host.reaches(instance_id, "error")["launch"]
    assert ended["exit_code"] == code
    at = dt.datetime.fromisoformat(ended["ended_at"]).timestamp()
    assert began - 2 < at <= died + 2


def test_row_5_when_main_alone_is_killed_the_whole_tree_goes_and_the_policy_acts(host: Console) -> None:
    instance_id, launch = running(host, "a")
    processes = tree(host, launch)
    kill(launch["pid"])
    ended = host.reaches(instance_id, "error")
    all_gone(processes)
    assert ended["launch"]["exit_code"] == -signal.SIGKILL and port_is_free(launch)
    assert ended["restart"]["attempt"] == 1
    ask(host, instance_id, "stop")


def test_row_6_when_the_inner_process_is_killed_it_is_an_error_though_main_exits_with_0(
    host: Console,
) -> None:
    instance_id, launch = running(host, "a", restart_policy="never")
    kill(core_of(launch))
    ended = host.reaches(instance_id, "error")["launch"]
    assert ended["exit_code"] == 0 and "inner process died" in ended["error"]


def test_row_7_when_the_shim_is_killed_it_is_lost_and_nothing_stays(host: Console) -> None:
    instance_id, launch = running(host, "a", knobs={"SETSID_CHILD": "1"})
    processes = tree(host, launch)
    kill(processes[0])
    ended = host.reaches(instance_id, "error")
    all_gone(processes)
    assert "lost" in ended["launch"]["error"] and port_is_free(launch)
    assert ended["restart"]["attempt"] == 1
    assert f"launch {launch['id']}: running -> lost" in host.output
    ask(host, instance_id, "stop")


def test_row_9_a_recorded_pid_that_is_somebody_else_now_is_neither_adopted_nor_signalled(
    host: Console,
) -> None:
    instance_id, launch = running(host, "a", restart_policy="never")
    host.end(signal.SIGKILL)
    processes = tree(host, launch)
    for process in processes:
        kill(process)
    all_gone(processes)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path = directory(host, launch) / "shim.json"
        record = json.loads(path.read_text())
        for who in ("shim", "engine"):
            record[who]["pid"] = bystander.pid
        path.write_text(json.dumps(record))
        host.start()
        ended = host.reaches(instance_id, "error")["launch"]
        assert "lost" in ended["error"]
        ask(host, instance_id, "stop")
        ask(host, instance_id, "start")
        host.reaches(instance_id, "running")
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")
