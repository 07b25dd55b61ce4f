from __future__ import annotations

from collections.abc import Iterator

import pytest

from .console import SeveralConsole
from .services import Postgres, Redis


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as service:
        yield service


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with Redis() as service:
        yield service


@pytest.fixture(scope="session")
def _several(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis_server: Redis
) -> Iterator[SeveralConsole]:
    data = tmp_path_factory.mktemp("several") / "data"
    console = SeveralConsole(data, database=postgres.new_database(), redis=redis_server.url)
    try:
        console.start()
        console.make_administrator()
        yield console
    finally:
        console.close()


@pytest.fixture
def several(_several: SeveralConsole, postgres: Postgres, redis_server: Redis) -> Iterator[SeveralConsole]:
    """A console in several processes, all of them up, with Mia as its administrator and no instance.

    One for all tests, because its start takes long; what a test has killed is started again for the next.
    """
    for service in (postgres, redis_server):
        service.mend()
    _several.mend()
    yield _several
    for service in (postgres, redis_server):
        service.mend()
    _several.mend()
    _several.remove_all()
