from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from instances.catalog import cache
from instances.jobs import programs
from instances.launchers.memory import MemoryLauncher
from instances.models import Job, JobState, Launch
from instances.services import start_instance, stop_instance
from instances.states import State
from instances.supervisor.jobs import Jobs
from instances.vllm import engines

from .conftest import Host

MODEL = "Qwen/Qwen3-8B"


class Downloading:
    """A host whose engine has a Python of its own, and jobs beside it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.launcher = MemoryLauncher()
        self.jobs = Jobs(self.launcher)

    def step(self, times: int = 1) -> Launch:
        for _ in range(times):
            self.jobs.step()
            self.host.step()
        return Launch.objects.select_related("instance").latest("pk")


@pytest.fixture
def downloading(host: Host, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Downloading:
    settings.HF_CACHE = tmp_path / "hub"
    python = Path("/opt/vllm/bin/python3")
    engine = engines.find()
    assert isinstance(engine, engines.Engine)
    monkeypatch.setattr(engines, "find", lambda *_: dataclasses.replace(engine))
    monkeypatch.setattr(engines.Engine, "python", property(lambda self: python))
    monkeypatch.setattr(programs, "_python_of", lambda name: python)
    return Downloading(host)


def test_a_model_that_is_not_here_is_fetched_before_its_engine_starts(
    downloading: Downloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloading.host.deploy(config={"model": MODEL})
    launch = downloading.step(2)
    job = Job.objects.get()
    assert (launch.state, launch.phase, job.subject, job.launch_id) == (
        State.INITIALIZING,
        "download",
        MODEL,
        launch.pk,
    )
    Job.objects.update(progress={"done": 8_000_000_000, "total": 16_000_000_000, "speed": 90_000_000})
    launch = downloading.step()
    assert launch.progress == [50, 100]
    assert launch.note == "Downloading Qwen/Qwen3-8B: 8.0 GB of 16.0 GB, 90 MB/s"
    assert not downloading.host.launcher.started
    downloading.launcher.end(job.pk)
    launch = downloading.step()
    assert (launch.state, launch.note, launch.progress) == (State.STARTING, "", None)
    monkeypatch.setattr(cache, "snapshot", lambda *_: Path("/somewhere"))


def test_a_model_that_is_here_starts_at_once_and_asks_no_hub(
    downloading: Downloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "snapshot", lambda *_: Path("/somewhere"))
    downloading.host.deploy(config={"model": MODEL})
    assert downloading.step(2).state == State.STARTING
    assert not Job.objects.exists()
    assert downloading.host.launcher.started[0].env["HF_HUB_OFFLINE"] == "1"


def test_a_failed_download_fails_the_launch_with_its_words_and_a_new_start_tries_again(
    downloading: Downloading,
) -> None:
    instance = downloading.host.deploy(config={"model": MODEL})
    downloading.step(2)
    Job.objects.update(state=JobState.FAILED, error="It is gated.", advice="Give a token.")
    launch = downloading.step()
    assert (launch.state, launch.error, launch.advice) == (State.ERROR, "It is gated.", "Give a token.")
    start_instance(actor=downloading.host.actor, instance=instance)
    assert downloading.step(2).state == State.INITIALIZING
    assert Job.objects.count() == 2


def test_a_stop_ends_the_download_that_was_begun_for_it(downloading: Downloading) -> None:
    instance = downloading.host.deploy(config={"model": MODEL})
    downloading.step(2)
    stop_instance(actor=downloading.host.actor, instance=instance)
    downloading.step(3)
    assert Job.objects.get().state == JobState.CANCELLED


def test_the_format_that_is_loaded_is_the_one_that_is_fetched(downloading: Downloading) -> None:
    downloading.host.deploy(config={"model": MODEL, "args": {"load-format": "mistral", "revision": "v2"}})
    downloading.step(2)
    argv = programs.command_of(Job.objects.get())
    assert "--mistral" in argv and argv[argv.index("--revision") + 1] == "v2"


def test_weights_that_are_not_loaded_are_not_fetched(downloading: Downloading) -> None:
    downloading.host.deploy(config={"model": MODEL, "args": {"load-format": "dummy"}})
    assert downloading.step(2).state == State.STARTING
