"""Two consoles for all tests of faults, because a start takes seconds: one with much room, one with little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console import FAKE_VLLM, Console


@pytest.fixture(scope="session")
def _roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    yield from _started(
        Console(
            tmp_path_factory.mktemp("roomy") / "data",
            LLMOPS_MAX_INSTANCES="20",
            LLMOPS_STARTS_AT_ONCE="20",
            LLMOPS_STALL_DEADLINE="9",
            LLMOPS_COMPILE_STALL_DEADLINE="9",
        )
    )


@pytest.fixture(scope="session")
def _strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("strict")
    (folder / "vllm").symlink_to(FAKE_VLLM)
    yield from _started(
        Console(
            folder / "data",
            vllm=folder / "vllm",
            LLMOPS_MAX_INSTANCES="3",
            LLMOPS_STARTS_AT_ONCE="1",
            LLMOPS_START_DEADLINE="12",
            LLMOPS_STOP_GRACE="2",
        )
    )


def _started(console: Console) -> Iterator[Console]:
    try:
        console.start()
        console.make_administrator()
        yield console
    finally:
        console.close()


def _lent(console: Console) -> Iterator[Console]:
    """Running and without instances, before a test and after it."""
    yield console
    if console.process is None:
        console.start()
    console.remove_all()


@pytest.fixture
def host(_roomy: Console) -> Iterator[Console]:
    """A console with the fake engine and room for many of them; a start that does not get on for 6 s has stalled."""
    yield from _lent(_roomy)


@pytest.fixture
def strict(_strict: Console) -> Iterator[Console]:
    """Three instances at most, one start at a time, 12 s for a start, 2 s of grace; its engine can be exchanged."""
    yield from _lent(_strict)


@pytest.fixture
def engine_command(_strict: Console) -> Iterator[Path]:
    """The path of the engine's command of `strict`; what stands there is the fake one again afterwards."""
    path = Path(_strict.environment["LLMOPS_VLLM"])
    path.unlink()
    yield path
    path.unlink(missing_ok=True)
    path.symlink_to(FAKE_VLLM)
