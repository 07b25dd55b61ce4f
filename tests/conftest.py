from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from accounts.models import User
from instances.models import Preset
from instances.presets import BUILT_IN
from instances.vllm import engines

from .console import Console

# Found once is found always: a run must not turn red by dice.
hypothesis.settings.register_profile("steady", derandomize=True)
hypothesis.settings.load_profile("steady")

# A shell's background and `nohup` let these be ignored, and consoles of tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def presets_survive(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """A test with transactions of its own empties all tables at its end, and so those rows that migrations made."""
    yield
    marker = request.node.get_closest_marker("django_db")
    emptied = bool(marker and marker.kwargs.get("transaction")) or "transactional_db" in request.fixturenames
    if emptied:
        with django_db_blocker.unblock():
            rows = [Preset(**preset, position=at) for at, preset in enumerate(BUILT_IN)]
            Preset.objects.bulk_create(rows, ignore_conflicts=True)


@pytest.fixture
def mia(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("mia", password="a-long-password")


@pytest.fixture
def jonas(db: None) -> User:
    """A person without rights of an administrator."""
    return User.objects.create_user("jonas", password="a-long-password")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console with the fake engine, not yet started."""
    running = Console(tmp_path / "data")
    yield running
    running.close()


@pytest.fixture(scope="session")
def real_engine() -> engines.Engine:
    """The engine that ./start.sh installs, or LLMOPS_VLLM."""
    found = engines.find()
    if isinstance(found, engines.Missing):
        pytest.skip(f"no engine: {found.reason}")
    return found
