"""A real Prometheus for tests: on a port of its own, scraping a console with the configuration that we ship."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.console import ROOT, Console, eventually, free_port

SHIPPED = ROOT / "deploy" / "prometheus"


class Prometheus:
    """What is shipped, with this console's address and key, and every second instead of every fifteen."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        shipped = (SHIPPED / "prometheus.yml").read_text()
        ours = shipped.replace("127.0.0.1:7860", console.url.removeprefix("http://")).replace("15s", "1s")
        (folder / "prometheus.yml").write_text(ours)
        (folder / "alerts.yml").write_text((SHIPPED / "alerts.yml").read_text())
        (folder / "llmops.key").write_text(console.key)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Prometheus:
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            eventually(self.is_ready, what="Prometheus is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def is_ready(self) -> bool:
        """It listens before it has read its storage, and refuses every question until then."""
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression gives now. Raises AssertionError when Prometheus refuses it."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Of the first sample; None while there is none."""
        found = self.ask(expression)
        return float(found[0]["value"][1]) if found else None

    def is_value(self, expression: str, value: float) -> bool:
        return self.value(expression) == value
