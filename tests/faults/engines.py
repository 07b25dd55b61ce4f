"""Fake engines of a real console, as the tests of faults handle them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.console import Console, eventually


def deploy(console: Console, name: str, *, knobs: dict[str, str] | None = None, **body: Any) -> int:
    """The new instance's id; `knobs` without their prefix, as in {"START_DELAY": "3"}."""
    env = {f"FAKE_VLLM_{knob}": value for knob, value in (knobs or {}).items()}
    answer = console.api(
        "POST", "/api/models/deploy", json={"name": name, "preset": "tiny-demo", "env": env, **body}
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def running(console: Console, name: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """The id of a new instance, and its launch once it runs."""
    instance_id = deploy(console, name, **options)
    launch: dict[str, Any] = console.reaches(instance_id, "running")["launch"]
    return instance_id, launch


_browsers: dict[str, httpx.Client] = {}


def page(console: Console, path: str) -> str:
    """What the administrator sees there."""
    if console.url not in _browsers:
        _browsers[console.url] = console.signed_in("mia", "a-long-password")
    answer = _browsers[console.url].get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def ask(console: Console, instance_id: int, what: str) -> None:
    """`start`, `stop`, `restart`."""
    answer = console.api("POST", f"/api/models/{instance_id}/{what}")
    assert answer.status_code == 202, answer.text


def launches(console: Console, instance_id: int) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = console.api("GET", f"/api/models/{instance_id}/launches").json()
    return found


def log_texts(console: Console, instance_id: int, search: str = "") -> list[str]:
    query = {"offset": 0, "limit": 10000, "search": search}
    lines = console.api("GET", f"/api/models/{instance_id}/logs", params=query).json()["lines"]
    return [line["text"] for line in lines]


def answers(launch: dict[str, Any]) -> bool:
    return httpx.get(f"http://127.0.0.1:{launch['port']}/health", timeout=5).status_code == 200


def directory(console: Console, launch: dict[str, Any]) -> Path:
    return console.data / "launches" / str(launch["id"])


def identity(console: Console, launch: dict[str, Any]) -> dict[str, Any]:
    """What the shim has written about itself and the engine."""
    found: dict[str, Any] = json.loads((directory(console, launch) / "shim.json").read_text())
    return found


def tree(console: Console, launch: dict[str, Any]) -> list[psutil.Process]:
    """The shim, and all below it."""
    shim = psutil.Process(identity(console, launch)["shim"]["pid"])
    return [shim, *shim.children(recursive=True)]


def core_of(launch: dict[str, Any]) -> psutil.Process:
    """The engine's inner process."""
    children = psutil.Process(launch["pid"]).children(recursive=True)
    (core,) = (child for child in children if "EngineCor" in child.name())
    return core


def kill(process: psutil.Process | int) -> None:
    os.kill(process if isinstance(process, int) else process.pid, signal.SIGKILL)


def lives(process: psutil.Process) -> bool:
    """A zombie does not: it waits for whatever is process 1 here."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_gone(processes: Iterable[psutil.Process], *, within: float = 20.0) -> None:
    found = list(processes)
    eventually(lambda: not any(map(lives, found)), within=within, what="nothing of the tree is left")


def port_is_free(launch: dict[str, Any]) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{launch['port']}/health", timeout=2)
    except httpx.ConnectError:
        return True
    return False
