from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from instances.launchers.memory import MemoryLauncher
from instances.models import Instance, Launch
from instances.services import deploy_instance
from instances.supervisor.readiness import Answer
from instances.supervisor.reconcile import Reconciler
from instances.vllm import engines


class Host:
    """One supervised host without processes: what people ask for, and what its engines do."""

    def __init__(self, actor: User) -> None:
        self.actor = actor
        self.now = 10_000.0  # monotonic seconds
        self.launcher = MemoryLauncher(clock=self.clock)
        self.begin_again()

    def clock(self) -> float:
        return self.now

    def begin_again(self) -> None:
        """A new supervisor, which remembers nothing."""
        self.reconciler = Reconciler(self.launcher, clock=self.clock)

    def deploy(self, name: str = "a", **options: Any) -> Instance:
        config = {"model": "Qwen/Qwen3-8B", **options.pop("config", {})}
        given = {"restart_policy": "on-failure", "served_name": name, **options}
        return deploy_instance(actor=self.actor, name=name, config=config, **given)

    def step(self, times: int = 1) -> Launch:
        """Make steps; the newest launch afterwards."""
        for _ in range(times):
            self.reconciler.step()
        return Launch.objects.select_related("instance").latest("pk")

    def answers(self, ok: bool, why: str = "") -> Launch:
        """The engine answers the probe so, and a step judges it."""
        launch = Launch.objects.latest("pk")
        self.reconciler.watched[launch.pk].answer = Answer(ok, why)
        return self.step()

    def running(self, **options: Any) -> Launch:
        self.deploy(**options)
        self.step(2)
        return self.answers(True)


@pytest.fixture
def host(mia: User, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    settings.LLMOPS_DATA = tmp_path
    # Between those of the tests' consoles and the ephemeral ones, and each worker's own: some tests listen there.
    first = 32_100 + 200 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 3)
    settings.LAUNCH_PORTS = range(first, first + 200)
    monkeypatch.setattr(
        engines, "find", lambda *_: engines.Engine(Path("/opt/vllm/bin/vllm"), "0.32.0+cpu", "cpu")
    )
    return Host(mia)
