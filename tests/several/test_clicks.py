"""Many people click at the same moment: rows 15 and 23, on SQLite in one process and on PostgreSQL in several."""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.console import Console, eventually

from .console import SeveralConsole

pytestmark = pytest.mark.xdist_group("several")

DEMO = {"name": "tiny", "preset": "tiny-demo"}
VERBS = ("start", "stop", "restart")
SEED = 20261125


@pytest.fixture(params=["console", "several"])
def either(request: pytest.FixtureRequest) -> Console:
    console: Console = request.getfixturevalue(request.param)
    if not isinstance(console, SeveralConsole):
        console.start()
        console.make_administrator()
    return console


def addresses(console: Console) -> list[str]:
    return [web.url for web in console.webs] if isinstance(console, SeveralConsole) else [console.url]


def keys_of(console: Console, *names: str) -> list[str]:
    """A key for each of these administrators, who are made where they are not there yet."""
    own, keys = console.key, []
    for name in names:
        try:
            console.make_key(name)
        except subprocess.CalledProcessError:  # there is nobody of that name
            console.make_administrator(name)
        keys.append(console.key)
    console.key = own
    return keys


class Crowd:
    """Twenty people who click at once, each with a key and an address of the console."""

    def __init__(self, console: Console) -> None:
        self.dice = random.Random(SEED)
        self.keys = keys_of(console, "ann", "bob", "cho")
        self.urls = addresses(console)

    def click(self, calls: list[tuple[str, str, Any]]) -> list[httpx.Response]:
        together = threading.Barrier(len(calls))

        def one(number: int) -> httpx.Response:
            method, path, body = calls[number]
            headers = {"Authorization": f"Bearer {self.keys[number % len(self.keys)]}"}
            together.wait(10)
            url = self.urls[number % len(self.urls)] + path
            return httpx.request(method, url, headers=headers, json=body, timeout=30)

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, range(len(calls))))


class EngineCount:
    """How many launches of a console have a living engine, looked at again and again while it is entered."""

    def __init__(self, console: Console) -> None:
        self._mark = f"{console.data}/launches/"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = 0

    def now(self) -> int:
        count = 0
        for process in psutil.process_iter(["cmdline"]):
            if any(part.startswith(self._mark) for part in process.info["cmdline"] or []):
                try:
                    children = process.children()
                    count += any(child.status() != psutil.STATUS_ZOMBIE for child in children)
                except psutil.NoSuchProcess:
                    continue
        return count

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, self.now())

    def __enter__(self) -> EngineCount:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def settles(console: Console, instance_id: int) -> str:
    """The state that people asked for last, once the launch is in it."""

    def seen() -> str:
        instance = console.instance(instance_id)
        state = str((instance["launch"] or {}).get("state"))
        return state if state == instance["desired_state"] else ""

    return eventually(seen, within=60, what=f"what was asked for last: {console.instance(instance_id)}")


# row 15: concurrent clicks by several users
def test_twenty_clicks_at_once_leave_one_process_and_the_last_intent(either: Console) -> None:
    crowd = Crowd(either)
    instance_id = int(either.api("POST", "/api/models/deploy", json=DEMO).json()["id"])
    path = f"/api/models/{instance_id}"
    eventually(lambda: either.instance(instance_id)["launch"], what="there is a launch")
    with EngineCount(either) as engines:
        for _ in range(3):
            clicks = [("POST", f"{path}/{crowd.dice.choice(VERBS)}", None) for _ in range(20)]
            assert Counter(answer.status_code for answer in crowd.click(clicks)) == {202: 20}
            settles(either, instance_id)
        assert either.api("POST", f"{path}/restart").status_code == 202
        assert settles(either, instance_id) == "running"
        clicks = [("POST", f"{path}/{crowd.dice.choice(VERBS)}", None) for _ in range(16)]
        clicks += [("DELETE", path, None)] * 4
        crowd.dice.shuffle(clicks)
        codes = {answer.status_code for answer in crowd.click(clicks)}
        assert codes <= {202, 404, 409}, codes
        assert either.api("DELETE", path).status_code in (202, 404)
        eventually(lambda: either.api("GET", path).status_code == 404, what="it is removed")
        eventually(lambda: engines.now() == 0, what="no engine is left")
    assert engines.most == 1


# row 23: the limit, and a name, asked for by several at the same moment
def test_neither_the_limit_nor_a_name_is_given_out_twice(either: Console) -> None:
    crowd = Crowd(either)

    def deploy(name: str) -> tuple[str, str, Any]:
        return "POST", "/api/models/deploy", {**DEMO, "name": name}

    answers = crowd.click([deploy("same")] * 8)
    assert sorted(answer.status_code for answer in answers)[0] == 201
    assert Counter(answer.status_code == 201 for answer in answers) == {True: 1, False: 7}
    assert {answer.status_code for answer in answers} <= {201, 409, 422}
    answers = crowd.click([deploy(f"n{number}") for number in range(10)])
    assert Counter(answer.status_code for answer in answers) == {201: 4, 409: 6}
    assert all(
        "5 of 5 instances should run already" in one.json()["detail"]
        for one in answers
        if one.status_code == 409
    )
    stopped = either.api("GET", "/api/models/list").json()
    assert len(stopped) == 5
