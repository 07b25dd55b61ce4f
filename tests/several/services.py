"""A real Redis and a real PostgreSQL for tests: on ports of their own, in folders that go away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
import redis

from tests.console import eventually, free_port

POSTGRES_FOLDERS = os.pathsep.join(
    str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
)


class Service:
    """One server process, which can be killed and started again on the same port and data."""

    user: str | None = None  # who runs it, where we are root
    at_once = signal.SIGTERM  # what ends it without waiting for its clients

    def __init__(self) -> None:
        self.port = free_port()
        # Not `tmp_path`, which another user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="llmops-service-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, Any]:
        """Options of Popen that make it this service's user."""
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    def start(self) -> None:
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self.identity,
            )
        eventually(self.answers, what=f"{self.command()[0]} answers")

    def mend(self) -> None:
        """Start it unless it runs."""
        if self.process is None:
            self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def end(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)
        self.process = None

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def close(self) -> None:
        if self.process is not None:
            self.end(self.at_once)
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Service):
    """Keeps nothing: killed and started again, it has forgotten all groups and messages."""

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {"--port": self.port, "--bind": "127.0.0.1", "--save": "", "--appendonly": "no"}
        return ["redis-server", *(str(word) for pair in options.items() for word in pair)]

    def answers(self) -> bool:
        try:
            with redis.Redis(port=self.port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


class Postgres(Service):
    """A cluster of its own that need not survive this machine, so that it is quick."""

    at_once = signal.SIGQUIT

    def __init__(self) -> None:
        found = {name: shutil.which(name, path=POSTGRES_FOLDERS) for name in ("initdb", "postgres")}
        if not all(found.values()):
            pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        self._programs = {name: str(path) for name, path in found.items()}
        super().__init__()
        self._databases = 0
        if os.geteuid() == 0:  # it refuses to be root
            self.user = "postgres"
            shutil.chown(self.folder, self.user, self.user)
        subprocess.run(
            [
                self._programs["initdb"],
                "-D",
                "data",
                "-U",
                "llmops",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-N",
            ],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            check=True,
            **self.identity,
        )

    def command(self) -> list[str]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [self._programs["postgres"], "-D", "data", *settings]

    @property
    def url(self) -> str:
        return self._address("postgres")

    def _address(self, database: str) -> str:
        return f"postgres://llmops@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        name = f"console_{self._databases}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._address(name)

    def stop_immediately(self) -> None:
        """As `pg_ctl stop -m immediate`: every connection breaks."""
        self.end(signal.SIGQUIT)
