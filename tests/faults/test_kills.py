"""Rows 1 to 9: whatever is killed, the states come true and nothing is left over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

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


@pytest.fixture
def console(console: Console) -> Console:
    """Started, with somebody who may do everything."""
    console.start()
    console.make_administrator()
    return console


def test_row_1_an_engine_outlives_its_console_and_is_taken_up_with_its_log(console: Console) -> None:
    instance_id, before = running(console, "a", knobs={"START_DELAY": "1"})
    lines = log_texts(console, instance_id)
    console.end(signal.SIGKILL)
    assert answers(before)
    console.start()
    after = console.reaches(instance_id, "running", within=2)["launch"]
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    now = log_texts(console, instance_id)
    assert now[: len(lines)] == lines and not [text for text in now if "dropped here" in text]
    ask(console, instance_id, "stop")
    console.reaches(instance_id, "stopped")
    assert not psutil.pid_exists(before["pid"])


def test_row_2_cut_off_between_spawn_and_commit_there_is_exactly_one_engine(console: Console) -> None:
    console.end()
    cut = Path(__file__).with_name("cut_before_commit.py")
    process = subprocess.Popen([sys.executable, str(cut)], env=console.environment, cwd=ROOT)
    console.process = process
    eventually(console.is_ready, within=60)
    instance_id = deploy(console, "a", knobs={"START_DELAY": "2"})
    assert process.wait(30) == -signal.SIGKILL
    console.process = None
    shims = list((console.data / "launches").glob("*/spec.json"))
    assert len(shims) == 1  # it had been started
    console.start()
    launch = console.reaches(instance_id, "running")["launch"]
    assert len(launches(console, instance_id)) == 1
    engines = [
        one for one in psutil.process_iter(["cmdline"]) if f"{launch['port']}" in (one.info["cmdline"] or [])
    ]
    assert [one.pid for one in engines if one.ppid() == identity(console, launch)["shim"]["pid"]] == [
        launch["pid"]
    ]


def test_row_3_a_stop_that_was_cut_off_is_completed_by_the_next_supervisor(console: Console) -> None:
    instance_id, launch = running(console, "a", knobs={"IGNORE_SIGTERM": "1"})
    processes = tree(console, launch)
    ask(console, instance_id, "stop")
    console.reaches(instance_id, "stopping")
    console.end(signal.SIGKILL)
    assert lives(processes[1])
    console.environment["LLMOPS_STOP_GRACE"] = "1"
    console.start()
    ended = console.reaches(instance_id, "stopped", within=20)["launch"]
    assert ended["id"] == launch["id"] and ended["exit_code"] == -signal.SIGKILL
    all_gone(processes)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_row_4_an_end_while_nobody_looked_is_recorded_as_it_was(
    console: Console, number: int, code: int
) -> None:
    instance_id, launch = running(console, "a", restart_policy="never")
    console.end(signal.SIGKILL)
    began = time.time()
    psutil.Process(launch["pid"]).send_signal(number)
    eventually(
        lambda: (directory(console, launch) / "exit.json").read_text().strip(), what="the shim's record"
    )
    died = time.time()
    console.start()
    ended = console.reaches(instance_id, "error")["launch"]
    assert ended["exit_code"] == code
    at = time.mktime(time.strptime(ended["ended_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert began - 2 < at <= died + 2


def test_row_5_when_main_alone_is_killed_the_whole_tree_goes_and_the_policy_acts(console: Console) -> None:
    instance_id, launch = running(console, "a")
    processes = tree(console, launch)
    kill(launch["pid"])
    ended = console.reaches(instance_id, "error", within=10)
    all_gone(processes, within=1)
    assert ended["launch"]["exit_code"] == -signal.SIGKILL and port_is_free(launch)
    assert ended["restart"]["attempt"] == 1
    ask(console, instance_id, "stop")


def test_row_6_when_the_inner_process_is_killed_it_is_an_error_though_main_exits_with_0(
    console: Console,
) -> None:
    instance_id, launch = running(console, "a", restart_policy="never")
    kill(core_of(launch))
    ended = console.reaches(instance_id, "error", within=15)["launch"]
    assert ended["exit_code"] == 0 and "inner process died" in ended["error"]


def test_row_7_when_the_shim_is_killed_it_is_lost_and_nothing_stays(console: Console) -> None:
    instance_id, launch = running(console, "a", knobs={"SETSID_CHILD": "1"})
    processes = tree(console, launch)
    kill(processes[0])
    ended = console.reaches(instance_id, "error", within=15)
    all_gone(processes)
    assert "lost" in ended["launch"]["error"] and port_is_free(launch)
    assert ended["restart"]["attempt"] == 1
    assert f"launch {launch['id']}: running -> lost" in console.output
    ask(console, instance_id, "stop")


def test_row_9_a_recorded_pid_that_is_somebody_else_now_is_neither_adopted_nor_signalled(
    console: Console,
) -> None:
    instance_id, launch = running(console, "a", restart_policy="never")
    console.end(signal.SIGKILL)
    processes = tree(console, launch)
    for process in processes:
        kill(process)
    all_gone(processes)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path = directory(console, launch) / "shim.json"
        record = json.loads(path.read_text())
        for who in ("shim", "engine"):
            record[who]["pid"] = bystander.pid
        path.write_text(json.dumps(record))
        console.start()
        ended = console.reaches(instance_id, "error")["launch"]
        assert "lost" in ended["error"]
        ask(console, instance_id, "stop")
        ask(console, instance_id, "start")
        console.reaches(instance_id, "running")
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")
