import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pytest

from instances.logs import store
from instances.logs.hub import CREDIT, Batch, Hub, Viewer
from instances.logs.writer import DELAY, Writer

DEADLINE = 20.0  # seconds
T = TypeVar("T")


@pytest.fixture
def log(tmp_path: Path) -> Writer:
    return Writer(str(tmp_path), 64 * 1024 * 1024)


async def soon(what: Awaitable[T]) -> T:
    return await asyncio.wait_for(what, DEADLINE)


async def texts(viewer: Viewer, count: int) -> list[str]:
    """So many lines as a page shows them: the same offset is replaced, each batch is acknowledged."""
    shown: dict[int, str] = {}
    while len(shown) < count:
        batch = await soon(anext(viewer))
        viewer.ack(batch.seq)
        shown.update({line.offset: line.text for line in batch.lines})
    return [shown[offset] for offset in sorted(shown)]


async def test_a_viewer_gets_what_is_there_and_what_comes(log: Writer, tmp_path: Path) -> None:
    log.feed(b"one\ntwo\n")
    viewer = Hub(0.01).view(tmp_path)
    first = await soon(anext(viewer))
    assert [line.text for line in first.lines] == ["one", "two"]
    log.feed(b"three\n")
    second = await soon(anext(viewer))
    assert ([line.text for line in second.lines], second.seq) == (["three"], 2)
    assert second.next_offset == store.size(tmp_path)
    viewer.close()


class Impatient(OrderedDict[Any, Any]):
    """Is asked a few times only: a test in an endless loop could not be ended."""

    left = 100

    def get(self, key: Any, default: Any = None) -> Any:
        self.left -= 1
        assert self.left
        return super().get(key, default)


async def test_a_look_that_found_nothing_before_the_log_grew_is_taken_anew(
    log: Writer, tmp_path: Path
) -> None:
    """Regression: who asked between its end and its callback went round for ever, and the whole loop with him."""
    viewer = Hub(3600).view(tmp_path)
    tail, mark = viewer._tail, viewer._mark
    void: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    void.set_result(None)
    tail._steps = Impatient({mark: (tail._looks, void)})
    tail._looks += 1
    log.feed(b"one\n")
    step = await soon(tail.step(mark))
    assert step is not None and [line.text for line in step.lines] == ["one"]
    viewer.close()


async def test_a_batch_is_encoded_as_the_interface_says(log: Writer, tmp_path: Path) -> None:
    log.feed('INFO 模型 "quoted"\n'.encode())
    viewer = Hub(0.01).view(tmp_path)
    batch = await soon(anext(viewer))
    expected = {"seq": 1, "lines": [asdict(line) for line in batch.lines], "next_offset": batch.next_offset}
    assert json.loads(batch.encoded) == expected
    assert set(asdict(batch.lines[0])) == {"offset", "time", "level", "text"}
    viewer.close()


async def test_a_view_may_begin_before_the_launch_has_a_log(tmp_path: Path) -> None:
    directory = tmp_path / "17"
    viewer = Hub(0.01).view(directory)
    waiting = asyncio.create_task(texts(viewer, 1))
    directory.mkdir()
    Writer(str(directory), 1024 * 1024).feed(b"first\n")
    assert await soon(waiting) == ["first"]
    viewer.close()


async def test_a_view_goes_on_where_an_earlier_one_was(log: Writer, tmp_path: Path) -> None:
    log.feed(b"one\ntwo\n")
    hub = Hub(0.01)
    viewer = hub.view(tmp_path)
    batch = await soon(anext(viewer))
    viewer.close()
    log.feed(b"three\n")
    again = hub.view(tmp_path, batch.next_offset)
    assert await texts(again, 1) == ["three"]
    again.close()


async def test_many_viewers_cost_one_read_and_one_encoding(
    log: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # row 27: many viewers of one log
    reads = []
    real = store.read

    def read(*arguments: Any) -> store.Page:
        reads.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(store, "read", read)
    log.feed(b"one\n")
    hub = Hub(0.01)
    viewers = [hub.view(tmp_path) for _ in range(50)]
    batches = await soon(asyncio.gather(*(anext(viewer) for viewer in viewers)))
    assert hub.watched == 1
    assert len(reads) == 1
    assert len({id(batch.lines) for batch in batches}) == 1
    for viewer in viewers:
        viewer.close()


async def test_a_viewer_that_never_acknowledges_holds_eight_batches_and_hinders_nobody(
    log: Writer, tmp_path: Path
) -> None:
    # row 28: at most 8 batches held, others unaffected
    hub = Hub(0.01)
    dead, lively = hub.view(tmp_path), hub.view(tmp_path)
    got: list[Batch] = []

    async def never_acknowledge() -> None:
        async for batch in dead:
            got.append(batch)

    task = asyncio.create_task(never_acknowledge())
    for number in range(3 * CREDIT):
        log.feed(b"line %d\n" % number)
        assert await texts(lively, 1) == [f"line {number}"]
    assert 1 <= len(got) <= CREDIT
    log.feed(b"".join(b"more %d\n" % number for number in range(20_000)))
    assert len(await texts(lively, 20_000)) == 20_000
    async with asyncio.timeout(30):
        while len(got) < CREDIT:
            await asyncio.sleep(0.01)
    assert len(got) == CREDIT
    dead.ack(10**6)  # never sent: counts for nothing
    log.feed(b"again\n")
    await texts(lively, 1)
    assert len(got) == CREDIT
    dead.close()
    await soon(task)
    lively.close()


async def test_a_viewer_that_was_behind_reads_all_it_missed_once_it_acknowledges(
    log: Writer, tmp_path: Path
) -> None:
    viewer = Hub(0.01).view(tmp_path)
    lines = []
    for number in range(CREDIT):
        log.feed(b"line %d\n" % number)
        lines += (await soon(anext(viewer))).lines
    log.feed(b"".join(b"line %d\n" % number for number in range(CREDIT, 5000)))
    blocked = asyncio.create_task(anext(viewer))
    viewer.ack(CREDIT)
    batch = await soon(blocked)
    lines += batch.lines
    while len(lines) < 5000:
        viewer.ack(batch.seq)
        batch = await soon(anext(viewer))
        lines += batch.lines
    assert [line.text for line in lines] == [f"line {number}" for number in range(5000)]
    viewer.close()


async def test_an_unfinished_line_is_sent_again_only_when_it_has_changed(tmp_path: Path) -> None:
    now = [0.0]
    log = Writer(str(tmp_path), 1024 * 1024, clock=lambda: now[0])

    def say(text: bytes) -> None:
        log.feed(text)
        now[0] += DELAY
        log.flush()

    viewer = Hub(0.01).view(tmp_path)
    say(b"one\n10%")
    first = await soon(anext(viewer))
    assert [line.text for line in first.lines] == ["one", "10%"]
    say(b"\r20%")
    second = await soon(anext(viewer))
    assert [(line.text, line.offset) for line in second.lines] == [("20%", first.lines[1].offset)]
    say(b"\n")
    say(b"two\n")
    third = await soon(anext(viewer))
    assert [line.text for line in third.lines] == ["two"]
    assert third.next_offset == store.size(tmp_path)
    viewer.close()


async def test_who_comes_during_a_read_that_began_too_early_is_not_left_waiting(
    log: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, began, looked = threading.Event(), asyncio.Event(), asyncio.Event()
    loop, read, size = asyncio.get_running_loop(), store.read, store.size

    def slow_read(*arguments: Any) -> store.Page:
        page = read(*arguments)
        loop.call_soon_threadsafe(began.set)
        release.wait(DEADLINE)
        return page

    def watched_size(directory: Path) -> int:
        if size(directory):
            loop.call_soon_threadsafe(looked.set)
        return size(directory)

    monkeypatch.setattr(store, "read", slow_read)
    monkeypatch.setattr(store, "size", watched_size)
    hub = Hub(0.01)
    early, late = hub.view(tmp_path), hub.view(tmp_path)
    first = asyncio.create_task(anext(early))
    await soon(began.wait())
    log.feed(b"one\n")
    await soon(looked.wait())
    looked.clear()
    await soon(looked.wait())  # the look before it has been told to all
    second = asyncio.create_task(anext(late))
    await asyncio.sleep(0)
    release.set()
    assert [line.text for line in (await soon(second)).lines] == ["one"]
    assert [line.text for line in (await soon(first)).lines] == ["one"]
    early.close()
    late.close()


async def test_closing_ends_the_iteration_and_the_last_one_ends_the_watching(
    log: Writer, tmp_path: Path
) -> None:
    hub = Hub(0.01)
    one, two = hub.view(tmp_path), hub.view(tmp_path)
    waiting = asyncio.create_task(anext(one, None))
    await asyncio.sleep(0)
    one.close()
    assert await soon(waiting) is None
    assert hub.watched == 1
    two.close()
    two.close()
    assert hub.watched == 0
    assert await anext(two, None) is None
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await soon(asyncio.gather(*others, return_exceptions=True))


async def test_lines_written_just_before_the_end_are_not_missed(log: Writer, tmp_path: Path) -> None:
    viewer = Hub(0.01).view(tmp_path)
    log.feed(b"one\n")
    assert await texts(viewer, 1) == ["one"]
    log.feed(b"last words\n")
    (tmp_path / "exit.json").write_text('{"code": 1}')
    assert await texts(viewer, 1) == ["last words"]
    viewer.close()


async def test_a_read_that_fails_for_a_while_loses_nothing(
    log: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # row 22: out of file descriptors, and recovery when they are back
    def fail(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(store, "read", fail)
    monkeypatch.setattr(store, "size", fail)
    viewer = Hub(0.01).view(tmp_path)
    waiting = asyncio.create_task(texts(viewer, 1))
    log.feed(b"one\n")
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    monkeypatch.undo()
    assert await soon(waiting) == ["one"]
    viewer.close()
