from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import User
from instances.vllm import engines

BACKEND = "django.contrib.auth.backends.ModelBackend"
ENGINE = engines.Engine(Path("/opt/vllm/bin/vllm"), "0.32.0+cpu", "cpu")


@pytest.fixture
def page(client: Client, mia: User) -> Client:
    """The browser of an administrator who is signed in."""
    client.force_login(mia, backend=BACKEND)
    return client


@pytest.fixture
def as_jonas(jonas: User) -> Client:
    client = Client()
    client.force_login(jonas, backend=BACKEND)
    return client


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[engines.Engine | engines.Missing], None]:
    """There is an engine for CPUs; called with another one, there is that."""

    def found(wanted: engines.Engine | engines.Missing) -> None:
        monkeypatch.setattr(engines, "find", lambda *_: wanted)

    found(ENGINE)
    return found
