from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console import Console


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console that runs through the tests of one module, with the fake engine and room for many of them."""
    data = tmp_path_factory.mktemp("host") / "data"
    console = Console(
        data,
        LLMOPS_MAX_INSTANCES="100",
        LLMOPS_STARTS_AT_ONCE="20",
        LLMOPS_STALL_DEADLINE="3",
        LLMOPS_COMPILE_STALL_DEADLINE="3",
    )
    console.start()
    console.make_administrator()
    yield console
    console.close()
