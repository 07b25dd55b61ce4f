"""A real console for tests: `manage.py serve` in a process of its own, on a data folder and a port of its own."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parent.parent
FAKE_VLLM = ROOT / "tests" / "fakes" / "vllm"
Value = TypeVar("Value")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PortBlock:
    """Fifty ports below the ephemeral ones. Who holds the first has them all: tests run side by side."""

    def __init__(self) -> None:
        self.first = 0
        while not self.first:
            self._guard = socket.socket()
            try:
                self._guard.bind(("127.0.0.1", random.randrange(10_000, 32_000, 50)))
                self.first = int(self._guard.getsockname()[1])
            except OSError:
                self._guard.close()
        self._left = list(range(self.first + 40, self.first + 50))

    @property
    def launches(self) -> str:
        """For LLMOPS_LAUNCH_PORTS."""
        return f"{self.first + 1}-{self.first + 39}"

    def take(self) -> int:
        """One of ten for something else."""
        return self._left.pop()

    def close(self) -> None:
        self._guard.close()


def fake_vllm_in(folder: Path) -> Path:
    """The fake engine as a command whose first line names the tests' Python, which then runs downloads too."""
    command = folder / "vllm"
    command.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(FAKE_VLLM)!r}, run_name='__main__')\n"
    )
    command.chmod(0o755)
    return command


def eventually(
    look: Callable[[], Value], *, within: float = 30.0, what: str | Callable[[], str] = ""
) -> Value:
    """The first true value of `look`, asked again and again until the deadline (seconds)."""
    deadline = time.monotonic() + within
    while not (value := look()):
        if time.monotonic() > deadline:
            awaited = what() if callable(what) else what or look
            raise AssertionError(f"not within {within} s: {awaited}; last seen: {value!r}")
        time.sleep(0.05)
    return value


class Door:
    """What a program can ask of a console at one address."""

    url: str
    key = ""

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **options)

    def signed_in(self, username: str, password: str) -> httpx.Client:
        """A browser without scripts, after the sign-in form."""
        browser = httpx.Client(base_url=self.url, follow_redirects=True, timeout=30)
        page = browser.get("/accounts/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "username": username, "password": password}
        assert browser.post("/accounts/login/", data=form, headers={"Referer": self.url}).url.path == "/"
        return browser

    def instance(self, instance_id: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.api("GET", f"/api/models/{instance_id}").json()
        return answer

    def reaches(self, instance_id: int, state: str, *, within: float = 60.0) -> dict[str, Any]:
        """The instance once its launch is in this state."""

        def seen() -> dict[str, Any] | None:
            instance = self.instance(instance_id)
            return instance if (instance.get("launch") or {}).get("state") == state else None

        def wanted() -> str:
            return f"instance {instance_id} is {state}; it is {self.instance(instance_id)}"

        found = eventually(seen, within=within, what=wanted)
        assert found is not None
        return found

    def remove_all(self) -> None:
        """Leave no instance, whatever state each is in."""
        for instance in self.api("GET", "/api/models/list").json():
            path = f"/api/models/{instance['id']}"
            self.api("DELETE", path)
            if (instance["launch"] or {}).get("state") == "stopping":
                self.api("POST", f"{path}/stop")  # forced
        eventually(lambda: self.api("GET", "/api/models/list").json() == [], what="all instances are removed")


class Console(Door):
    """Started, killed and started again on the same data; `close` leaves no process behind."""

    def __init__(self, data: Path, *, vllm: Path | None = FAKE_VLLM, **environment: str) -> None:
        self.data = data
        self.ports = PortBlock()
        self.port = self.ports.take()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("LLMOPS_", "DJANGO_"))
            },
            **{name: os.environ[name] for name in ("LLMOPS_ENGINES", "LLMOPS_VLLM") if name in os.environ},
            "LLMOPS_DATA": str(data),
            "LLMOPS_BIND": f"127.0.0.1:{self.port}",
            "LLMOPS_LAUNCH_PORTS": self.ports.launches,
            **({"LLMOPS_VLLM": str(vllm), "LLMOPS_ENGINES": str(data / "engines")} if vllm else {}),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str, **environment: str) -> str:
        """The output of a management command; raises CalledProcessError."""
        return self._run(str(ROOT / "manage.py"), *arguments, **environment)

    def _run(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=180,
        )
        return done.stdout

    @property
    def output(self) -> str:
        return (self.data / "console.out").read_text()

    def start(self) -> None:
        self.process = self.spawn(str(ROOT / "manage.py"), "serve")
        eventually(self.is_ready, within=120, what="the console is ready")

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python process of this console; what it says stands in `output`."""
        self.data.mkdir(exist_ok=True)
        with (self.data / "console.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the console ended with {self.process.returncode}:\n{self.output}")
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def make_administrator(self, username: str = "mia", password: str = "a-long-password") -> None:
        """An account and its key, with the product's own commands; in one process, for its start takes seconds."""
        commands = (
            "import django, sys; django.setup()\n"
            "from django.core.management import call_command\n"
            "call_command('createsuperuser', '--noinput', verbosity=0)\n"
            "call_command('create_api_key', sys.argv[1])\n"
        )
        account = {
            "DJANGO_SETTINGS_MODULE": "llmops.settings",
            "DJANGO_SUPERUSER_USERNAME": username,
            "DJANGO_SUPERUSER_PASSWORD": password,
            "DJANGO_SUPERUSER_EMAIL": "",
        }
        self._take_key(self._run("-c", commands, username, **account))

    def make_key(self, username: str) -> None:
        self._take_key(self.manage("create_api_key", username))

    def _take_key(self, printed: str) -> None:
        self.key = printed.split()[-1]

    def end(self, number: int = signal.SIGTERM, *, within: float = 60.0) -> int:
        """Signal the console itself, not its engines; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(within)
        self.process = None
        return code

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        if (self.data / "db.sqlite3").exists():
            self.manage("stop_engines")
        self.ports.close()
