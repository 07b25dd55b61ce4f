"""Requests use the threads, and so the database connections, of requests before them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from asgiref.sync import sync_to_async

from llmops.threads import KEPT, InKeptThreads
from tests.console import eventually


def names(application: InKeptThreads, at_once: int) -> list[str]:
    async def several() -> list[str]:
        found: list[str] = []
        together = asyncio.Barrier(at_once)
        await asyncio.gather(*(application({}, together, found.append) for _ in range(at_once)))
        return found

    return asyncio.run(several())


async def name_its_thread(scope: dict[str, Any], together: Any, send: Any) -> None:
    first = await sync_to_async(threading.get_ident)()
    await together.wait()
    assert await sync_to_async(threading.get_ident)() == first
    send(str(first))


def test_a_request_is_answered_in_the_thread_of_one_before() -> None:
    application = InKeptThreads(name_its_thread)
    first = names(application, 1)
    assert names(application, 1) == first


def test_each_of_many_has_its_own_thread_and_few_are_kept() -> None:
    application = InKeptThreads(name_its_thread)
    used = set(names(application, 3 * KEPT))
    assert len(used) == 3 * KEPT
    eventually(lambda: len([one for one in threading.enumerate() if str(one.ident) in used]) == KEPT)


def test_a_request_that_fails_gives_its_thread_back() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        send(str(await sync_to_async(threading.get_ident)()))
        if receive is None:
            raise ValueError

    application = InKeptThreads(fail)

    async def twice() -> list[str]:
        found: list[str] = []
        try:
            await application({}, None, found.append)
        except ValueError:
            await application({}, asyncio.Event(), found.append)
        return found

    first, second = asyncio.run(twice())
    assert first == second


def test_nobody_waits_for_a_thread_whose_client_has_left() -> None:
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        over.wait(30)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if receive is not None:
            await name_its_thread(scope, receive, send)
            return
        working = asyncio.create_task(sync_to_async(work)())
        await asyncio.to_thread(begun.wait, 30)
        working.cancel()  # as Django does, which then returns

    kept = InKeptThreads(application)

    async def one_leaves_another_comes() -> list[str]:
        found: list[str] = []
        await kept({}, None, found.append)
        async with asyncio.timeout(20):
            await kept({}, asyncio.Barrier(1), found.append)
        return found

    try:
        assert asyncio.run(one_leaves_another_comes())
    finally:
        over.set()
