from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from instances.models import Job, JobKind, JobState
from instances.supervisor import flags
from instances.vllm import engines
from instances.vllm.schema import shipped
from instances.vllm.schema.schema import SHIPPED
from tests.fakes import fake_installed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.LLMOPS_DATA = tmp_path
    monkeypatch.setenv("LLMOPS_ENGINES", str(tmp_path / "engines"))
    monkeypatch.delenv("LLMOPS_VLLM", raising=False)
    return tmp_path / "engines"


def asked() -> list[str]:
    return list(Job.objects.filter(kind=JobKind.FLAGS).values_list("subject", flat=True))


def test_only_those_whose_flags_nobody_knows_are_asked_and_once(home: Path, tmp_path: Path) -> None:
    for version in (shipped().version, "0.31.0", "0.30.0"):
        fake_installed.install(home, version)
    fake_installed.install(home, "0.29.0", works=False)
    (tmp_path / "flags").mkdir()
    told = SHIPPED.read_text().replace('"0.32.0"', '"0.30.0"', 1)
    (tmp_path / "flags/cpu-0.30.0.json").write_text(told)
    assert not flags.request_missing() and not flags.request_missing()
    assert asked() == ["cpu-0.31.0"]


def test_one_that_would_not_say_is_asked_again_only_after_it_was_installed_anew(home: Path) -> None:
    folder = fake_installed.install(home, "0.31.0")
    os.utime(folder / "bin/vllm", (1, 1))
    flags.request_missing()
    Job.objects.update(state=JobState.FAILED)
    flags.request_missing()
    assert asked() == ["cpu-0.31.0"]
    later = Job.objects.get().created.timestamp() + 1
    os.utime(folder / "bin/vllm", (later, later))
    flags.request_missing()
    assert asked() == ["cpu-0.31.0"] * 2


def test_an_engine_of_ones_own_is_asked_again_after_its_version_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engines.Engine(tmp_path / "bin/vllm", "0.41.0", "cpu")
    found = engines.Found("own", own.path, own.version, "cpu", own, None)
    monkeypatch.setattr(engines, "every", lambda: [found])
    monkeypatch.setattr(engines.Engine, "python", property(lambda self: Path("/usr/bin/python3")))
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags/own.json").write_text(SHIPPED.read_text().replace('"0.32.0"', '"0.40.0"', 1))
    flags.request_missing()
    assert asked() == ["own"]


def test_one_that_has_not_said_its_version_is_asked_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engines.Engine(tmp_path / "bin/vllm", "unknown", "cpu", asking=True)
    found = engines.Found("own", own.path, own.version, "cpu", own, None)
    monkeypatch.setattr(engines, "every", lambda: [found])
    monkeypatch.setattr(engines.Engine, "python", property(lambda self: Path("/usr/bin/python3")))
    assert flags.request_missing() and asked() == []
