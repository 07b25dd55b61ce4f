"""A hundred random kills over running fake engines: whatever dies, the states come true and nothing is left over."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.console import Console, eventually
from tests.faults.engines import ask, core_of, deploy, kill, launches, lives
from tests.several.console import SeveralConsole
from tests.several.services import Postgres, Redis

pytestmark = pytest.mark.stress
SEED = 20261125
NAMES = ("a", "b", "c", "d")


def all_running(console: Console) -> list[dict[str, Any]] | None:
    instances: list[dict[str, Any]] = console.api("GET", "/api/models/list").json()
    states = [(one["launch"] or {}).get("state") for one in instances]
    return instances if states == ["running"] * len(NAMES) else None


def engine_processes(console: Console) -> list[psutil.Process]:
    """Whatever was ever started with a port of this console, by its command line: mains and inner processes."""
    first, _, last = console.environment["LLMOPS_LAUNCH_PORTS"].partition("-")
    ports = {str(port) for port in range(int(first), int(last) + 1)}
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if ports & set(one.info["cmdline"] or ()) and lives(one)]


def shims(console: Console) -> list[psutil.Process]:
    folder = f"{console.data}/launches/"
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if any(folder in part for part in one.info["cmdline"] or ()) and lives(one)]


def check_nothing_is_left_over(console: Console, instances: list[dict[str, Any]]) -> None:
    """One shim and one tree for each instance, and only the newest launch of each claims anything."""
    keepers = {psutil.Process(one["launch"]["pid"]).ppid() for one in instances}
    assert {one.pid for one in shims(console)} == keepers and len(keepers) == len(NAMES)
    trees = {child.pid for keeper in keepers for child in psutil.Process(keeper).children(recursive=True)}
    assert {one.pid for one in engine_processes(console)} == trees
    for instance in instances:
        newest, *earlier = launches(console, instance["id"])
        assert newest["id"] == instance["launch"]["id"]
        assert all(one["state"] in ("stopped", "error") and one["ended_at"] for one in earlier)


def attack(console: Console, rounds: int, others: dict[str, Callable[[], None]]) -> None:
    """`others`: what besides the processes of engines may be killed, and how it comes back."""
    dice = random.Random(SEED)
    console.start()
    console.make_administrator()
    for name in NAMES:
        deploy(console, name)
    for number in range(rounds):
        instances = eventually(lambda: all_running(console), within=120)
        assert instances is not None
        check_nothing_is_left_over(console, instances)
        launch = (chosen := dice.choice(instances))["launch"]
        victim = dice.choice(("shim", "engine", "core", *others))
        print(f"round {number}: {victim} of {chosen['name']}")
        if victim in others:
            others[victim]()
            continue
        main = psutil.Process(launch["pid"])
        kill(main.ppid() if victim == "shim" else main if victim == "engine" else core_of(launch))
        console.reaches(chosen["id"], "error", within=60)
        assert not lives(main)
        ask(console, chosen["id"], "start")  # not to wait for the back-off
    instances = eventually(lambda: all_running(console), within=120)
    assert instances is not None
    check_nothing_is_left_over(console, instances)
    console.close()
    assert not engine_processes(console) and not shims(console)


def test_thirty_kills_in_one_process(console: Console) -> None:
    def kill_console() -> None:
        console.end(signal.SIGKILL)
        console.start()

    attack(console, 30, {"console": kill_console})


def test_seventy_kills_in_several_processes(tmp_path: Path) -> None:
    with Postgres() as postgres, Redis() as redis:
        seventy_kills(SeveralConsole(tmp_path / "data", database=postgres.new_database(), redis=redis.url))


def seventy_kills(console: SeveralConsole) -> None:

    def kill_supervisor() -> None:
        console.end(signal.SIGKILL)
        console.start_supervisor()

    def kill_web() -> None:
        web = console.webs[1]
        assert web.process is not None
        web.process.kill()
        web.process.wait(20)
        web.start()

    try:
        attack(console, 70, {"supervisor": kill_supervisor, "web": kill_web})
    finally:
        console.close()
