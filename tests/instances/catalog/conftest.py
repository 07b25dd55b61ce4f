from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.fake_hub import FakeHub


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake hub is on this machine, whatever proxy leads out of it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake
