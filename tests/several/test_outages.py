"""Row 18: PostgreSQL restarts, Redis is killed. Engines go on, pages say so, and all is right when they are back."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.console import eventually

from .console import SeveralConsole, Web, heard, log_lines
from .services import Postgres, Redis
from .test_two_webs import MIA, QUESTION, answers, deployed

pytestmark = pytest.mark.xdist_group("several")

SENTENCE = "The database does not answer. Engines go on; try again in a few seconds."
BACK_WITHIN = 60.0  # seconds


def close_code(socket: ClientConnection, within: float = 30.0) -> int:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            socket.recv(timeout=0.2)
        except TimeoutError:
            continue
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
    raise AssertionError("the socket stayed open")


def opens_again(web: Web, cookies: httpx.Cookies) -> None:
    """The page's socket connects and brings all, as its script tries it again and again."""

    def opened() -> bool:
        try:
            with web.live(cookies) as live:
                return bool(heard(live, 'id="recent"', within=3))
        except (AssertionError, OSError, InvalidStatus, ConnectionClosed):
            return False

    eventually(opened, within=BACK_WITHIN, what="the page is live again")


def page_of(web: Web, cookies: httpx.Cookies) -> httpx.Response:
    return httpx.get(web.url, cookies=cookies, timeout=30)


def refuses(web: Web, cookies: httpx.Cookies) -> bool:
    try:
        with web.live(cookies) as live:
            close_code(live)
    except InvalidStatus:
        pass
    return True


def says_so(web: Web, cookies: httpx.Cookies, instance_id: int) -> None:
    page = httpx.get(web.url, cookies=cookies, timeout=30)
    assert page.status_code == 503 and page.headers["Retry-After"] == "3"
    assert "The database does not answer" in page.text and 'http-equiv="refresh"' in page.text
    call = web.api("GET", "/api/models/list")
    assert (call.status_code, call.json()) == (503, {"detail": SENTENCE})
    click = httpx.get(f"{web.url}/", cookies=cookies, headers={"HX-Request": "true"}, timeout=30)
    assert (click.status_code, click.text) == (503, SENTENCE)
    assert httpx.get(f"{web.url}/readyz", timeout=30).status_code == 503
    assert httpx.get(f"{web.url}/healthz", timeout=30).status_code == 200


def processes(several: SeveralConsole) -> list[Any]:
    started = [one.process for one in (several, *several.webs)]
    assert all(process is not None and process.poll() is None for process in started)
    return started


def test_postgresql_restarts(several: SeveralConsole, postgres: Postgres) -> None:
    first, second = several.webs
    instance_id = deployed(several)
    before = second.reaches(instance_id, "running")["launch"]
    ours = processes(several)
    cookies = first.signed_in(*MIA).cookies
    with second.live(cookies) as live, second.log(instance_id) as log:
        heard(live, 'id="recent"')
        log_lines(log, "Application startup complete")
        postgres.stop_immediately()
        assert close_code(live) == 4503
        httpx.get(f"http://127.0.0.1:{before['port']}/v1/models", timeout=5)
        log_lines(log, "GET /v1/models")  # the log goes on
        for web in several.webs:
            says_so(web, cookies, instance_id)
            refuses(web, cookies)
        eventually(lambda: second.api("POST", "/v1/chat/completions", json=QUESTION).status_code == 503)
        answer = second.api("POST", "/v1/chat/completions", json=QUESTION)
        assert SENTENCE in answer.json()["error"]["message"] and answer.headers["Retry-After"]
        assert answers(before["port"])

        postgres.start()
        for web in several.webs:
            eventually(lambda: page_of(web, cookies).status_code == 200, within=BACK_WITHIN)  # noqa: B023
            assert "tiny" in page_of(web, cookies).text
            assert web.instance(instance_id)["launch"] == before
            opens_again(web, cookies)
        eventually(several.is_ready, within=BACK_WITHIN, what="the supervisor reconciles")
    with second.live(cookies) as live:
        heard(live, 'id="recent"')
        first.api("POST", f"/api/models/{instance_id}/stop")
        heard(live, 'data-state="stopped"')
    assert processes(several) == ours


def test_redis_is_killed(several: SeveralConsole, redis_server: Redis) -> None:
    first, second = several.webs
    instance_id = deployed(several)
    before = second.reaches(instance_id, "running")["launch"]
    ours = processes(several)
    cookies = first.signed_in(*MIA).cookies
    with second.live(cookies) as live, second.log(instance_id) as log:
        heard(live, 'id="recent"')
        log_lines(log, "Application startup complete")
        redis_server.kill()
        assert close_code(live) == 4503
        refuses(second, cookies)
        httpx.get(f"http://127.0.0.1:{before['port']}/v1/models", timeout=5)
        log_lines(log, "GET /v1/models")  # the log goes on

        other_id = deployed(several, name="other")
        second.reaches(other_id, "running")  # by the supervisor's own ticks
        assert httpx.get(second.url, cookies=cookies, timeout=30).status_code == 200
        assert httpx.get(f"{second.url}/readyz", timeout=30).status_code == 200

        redis_server.start()
        for web in several.webs:
            opens_again(web, cookies)
        eventually(lambda: supervisor_listens(redis_server), within=BACK_WITHIN)
    with second.live(cookies) as live:
        heard(live, 'id="recent"')
        first.api("POST", f"/api/models/{other_id}/stop")
        heard(live, 'data-state="stopped"', '"system-cpu-value":')
    assert second.instance(instance_id)["launch"] == before
    assert processes(several) == ours


def supervisor_listens(server: Redis) -> bool:
    """Whether somebody waits in a blocking read of its channel: what is put there is gone at once."""
    import redis

    with redis.Redis(port=server.port) as client:
        waiting = [one for one in client.client_list() if one["cmd"] == "bzpopmin"]
        return bool(waiting) and client.zcard("asgisupervisor") == 0


def test_a_quiet_hour_is_no_outage(several: SeveralConsole) -> None:
    """Regression: a channel without messages was taken for a dead Redis, whenever the client's time ran out first."""
    outages = several.output.count("Redis does not answer")
    cookies = several.webs[0].signed_in(*MIA).cookies
    with several.webs[0].live(cookies, "page=other") as live:
        heard(live, 'id="sidebar-instances"')
        with suppress(TimeoutError):  # what the test before has left
            while live.recv(timeout=2):
                pass
        with pytest.raises(TimeoutError):
            live.recv(timeout=11)  # twice as long as a read waits
    assert several.output.count("Redis does not answer") == outages


def test_both_are_away_and_the_engine_does_not_notice(
    several: SeveralConsole, postgres: Postgres, redis_server: Redis
) -> None:
    instance_id = deployed(several)
    before = several.reaches(instance_id, "running")["launch"]
    postgres.stop_immediately()
    redis_server.kill()
    eventually(lambda: several.webs[0].api("GET", "/api/models/list").status_code == 503)
    assert answers(before["port"]) and psutil.pid_exists(before["pid"])
    redis_server.start()
    postgres.start()
    assert several.reaches(instance_id, "running", within=BACK_WITHIN)["launch"] == before
