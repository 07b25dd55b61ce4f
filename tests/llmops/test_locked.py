"""Row 18 on SQLite: somebody holds the database locked for ten seconds."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.console import Console, eventually
from tests.several.console import heard, open_live

DEMO = {"name": "tiny", "preset": "tiny-demo"}
LOCKED_FOR = 10.0  # seconds


@contextmanager
def locked(console: Console) -> Iterator[float]:
    """Another program writes, and takes its time; the moment until when."""
    connection = sqlite3.connect(console.data / "db.sqlite3", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield time.monotonic() + LOCKED_FOR
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_ten_seconds_of_a_locked_database_cost_patience_and_nothing_else(console: Console) -> None:
    console.start()
    console.make_administrator()
    instance_id = int(console.api("POST", "/api/models/deploy", json=DEMO).json()["id"])
    before = console.reaches(instance_id, "running")["launch"]
    cookies = console.signed_in("mia", "a-long-password").cookies
    console.make_key("mia")  # one whose first use would be noted
    clicked: list[httpx.Response] = []

    def click() -> None:
        clicked.append(console.api("POST", f"/api/models/{instance_id}/stop"))

    with open_live(console.url, cookies) as live:
        heard(live, 'id="recent"')
        with locked(console) as until:
            waiting = threading.Thread(target=click)
            waiting.start()
            looks = 0
            while time.monotonic() < until or looks < 4:
                assert httpx.get(console.url, cookies=cookies, timeout=30).status_code == 200
                assert console.instance(instance_id)["launch"]["pid"] == before["pid"]
                engine = httpx.get(f"http://127.0.0.1:{before['port']}/health", timeout=5)
                assert engine.status_code == 200
                looks += 1
            assert not clicked  # and so nobody of those who looked waited for the lock
        waiting.join(60)
        assert [answer.status_code for answer in clicked] == [202]
        heard(live, 'data-state="stopped"')
    assert console.instance(instance_id)["launch"]["state"] == "stopped"
    eventually(console.is_ready)
