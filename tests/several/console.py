"""A console in several processes: two web servers and a supervisor, behind one database and one Redis."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.console import FAKE_VLLM, ROOT, Console, Door, eventually


def open_live(
    url: str, cookies: httpx.Cookies, query: str = "page=dashboard"
) -> AbstractContextManager[ClientConnection]:
    """The socket of an open page, as its browser opens it."""
    words = "; ".join(f"{name}={value}" for name, value in cookies.items())
    address = f"{url.replace('http', 'ws', 1)}/ws/live/?{query}"
    return connect(address, additional_headers={"Cookie": words, "Origin": url})


class Web(Door):
    """One Daphne. Views of people go by a session's cookies, programs by the key."""

    def __init__(self, console: SeveralConsole) -> None:
        self._console = console
        self.port = console.ports.take()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        daphne = ("-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "llmops.asgi:application")
        self.process = self._console.spawn(*daphne)
        eventually(self.is_alive, within=60, what=f"the web server on port {self.port} answers")

    def is_alive(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"Daphne ended with {self.process.returncode}:\n{self._console.output}")
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def live(
        self, cookies: httpx.Cookies, query: str = "page=dashboard"
    ) -> AbstractContextManager[ClientConnection]:
        return open_live(self.url, cookies, query)

    def log(self, instance_id: int, offset: int = 0) -> AbstractContextManager[ClientConnection]:
        headers = {"Authorization": f"Bearer {self.key}"}
        address = f"ws://127.0.0.1:{self.port}/api/models/ws/logs/{instance_id}?offset={offset}"
        return connect(address, additional_headers=headers)


class SeveralConsole(Console):
    """`webs` and `process`, the supervisor's worker, each killed and started on its own."""

    def __init__(self, data: Path, *, database: str, redis: str, **environment: str) -> None:
        environment |= {"DATABASE_URL": database, "REDIS_URL": redis}
        super().__init__(data, vllm=FAKE_VLLM, **environment)
        self.webs = (Web(self), Web(self))
        self.url = self.webs[0].url

    def start(self) -> None:
        self.data.mkdir(exist_ok=True)
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")
        for web in self.webs:
            web.start()
        self.start_supervisor()

    def mend(self) -> None:
        """Start what a test has killed."""
        for web in self.webs:
            if web.process is None or web.process.poll() is not None:
                web.start()
        if self.process is None or self.process.poll() is not None:
            self.start_supervisor()
        eventually(self.is_ready, within=60, what="the console is ready")

    def start_supervisor(self) -> None:
        self.process = self.spawn(str(ROOT / "manage.py"), "runworker", "supervisor")
        eventually(self.is_ready, within=60, what="the supervisor reconciles")

    def _take_key(self, printed: str) -> None:
        super()._take_key(printed)
        for web in self.webs:
            web.key = self.key

    def close(self) -> None:
        for one in (self, *self.webs):
            if one.process is not None and one.process.poll() is None:
                one.process.send_signal(signal.SIGKILL)
                one.process.wait(20)
        if (self.data / "launches").exists():
            self.manage("stop_engines")
        self.ports.close()


def heard(socket: ClientConnection, *words: str, within: float = 60.0) -> str:
    """What a live page is pushed, up to and with the message in which the last of the words came."""
    text = ""

    def all_came() -> bool:
        nonlocal text
        with suppress(TimeoutError):
            text += str(socket.recv(timeout=0.2))
        return all(word in text for word in words)

    eventually(all_came, within=within, what=f"{words} are pushed")
    return text


def log_lines(socket: ClientConnection, last: str, within: float = 60.0) -> list[dict[str, Any]]:
    """Lines of a live log, acknowledged, up to the batch in which one has the words `last`."""
    lines: list[dict[str, Any]] = []

    def came() -> bool:
        try:
            batch = json.loads(str(socket.recv(timeout=0.2)))
        except TimeoutError:
            return False
        socket.send(json.dumps({"ack": batch["seq"]}))
        lines.extend(batch["lines"])
        return any(last in line["text"] for line in batch["lines"])

    eventually(came, within=within, what=f"{last!r} is in the log")
    return lines
