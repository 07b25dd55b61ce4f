from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from accounts.models import User
from chat.upstream import close_session
from instances.models import Instance, Launch, Revision
from instances.states import State

from .stand_in import StandIn


def make_running(owner: User, *, name: str = "tiny", served_name: str = "", port: int = 9) -> Launch:
    """An instance that runs, as the supervisor would have written it."""
    instance = Instance.objects.create(name=name, served_name=served_name or name, owner=owner)
    revision = Revision.objects.create(instance=instance, number=1, config={"model": "m"}, author=owner)
    instance.revision = revision
    instance.save()
    return Launch.objects.create(
        instance=instance,
        revision=revision,
        state=State.RUNNING,
        port=port,
        host="here",
        served_name=instance.served_name,
        engine_key="the-engines-own-key",
    )


@pytest.fixture
def running(mia: User) -> Launch:
    return make_running(mia)


@pytest.fixture
async def pool() -> AsyncIterator[None]:
    """The connections to engines of this test's loop."""
    yield
    await close_session()


@pytest.fixture
async def engine(running: Launch, pool: None) -> AsyncIterator[StandIn]:
    """The engine of `running`."""
    async with StandIn() as stand_in:
        await Launch.objects.filter(pk=running.pk).aupdate(port=stand_in.port)
        yield stand_in
