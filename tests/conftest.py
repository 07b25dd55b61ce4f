from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from accounts.models import User
from instances.vllm import engines

from .console import Console

# Found once is found always: a run must not turn red by dice.
hypothesis.settings.register_profile("steady", derandomize=True)
hypothesis.settings.load_profile("steady")

# A shell's background and `nohup` let these be ignored, and consoles of tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


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
