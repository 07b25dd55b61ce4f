"""Live logs for many viewers: each log is watched once, each batch read and encoded once for all of them."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

from instances.logs import store
from instances.logs.line import Line

CREDIT = 8  # batches that a viewer may leave unacknowledged
BATCH = 1000  # lines
KEPT_STEPS = 64  # batches of one log kept for viewers that come by later
POLL_ENDED = 2.0  # seconds between two looks at a log whose launch has ended


@dataclass(frozen=True)
class Batch:
    """What one viewer is sent at once. A line with the offset of an earlier one takes its place."""

    seq: int  # counts from 1 for each viewer
    lines: list[Line]
    next_offset: int  # bytes; a view from here goes on without loss
    encoded: str  # JSON: {"seq": k, "lines": [{"offset", "time", "level", "text"}], "next_offset": n}


@dataclass(frozen=True)
class _Mark:
    """How far a viewer has come: the offset, and the unfinished line that it has been shown there."""

    offset: int
    shown: Line | None


@dataclass(frozen=True)
class _Step:
    """From one mark to the next; the same for all viewers that stand at the same mark."""

    lines: list[Line]
    after: _Mark
    encoded: str  # JSON without its beginning, which counts for each viewer


class Hub:
    """Watches each log once however many look at it, from the first viewer to the last.

    Lives in one event loop. `poll` is the time between two looks at a log, in seconds.
    """

    def __init__(self, poll: float = 0.08) -> None:
        self.poll = poll
        self._tails: dict[Path, _Tail] = {}

    def view(self, directory: Path, offset: int = 0) -> "Viewer":
        """Follow the log of a launch directory from this offset. Call `close` when done."""
        tail = self._tails.get(directory)
        if tail is None:
            tail = self._tails[directory] = _Tail(directory, self.poll)
        viewer = Viewer(self, tail, offset)
        tail.viewers.add(viewer)
        return viewer

    @property
    def watched(self) -> int:
        """How many logs are being watched."""
        return len(self._tails)

    def _leave(self, viewer: "Viewer", tail: "_Tail") -> None:
        tail.viewers.discard(viewer)
        if not tail.viewers and self._tails.get(tail.directory) is tail:
            del self._tails[tail.directory]
            tail.stop()


class Viewer:
    """One person's view of one log: an asynchronous iterator of batches that never ends by itself.

    It never has more than CREDIT batches out that were not acknowledged; while it waits, nothing is kept for
    it, and it reads on from where it was.
    """

    def __init__(self, hub: Hub, tail: "_Tail", offset: int) -> None:
        self._hub, self._tail = hub, tail
        self._mark = _Mark(max(0, offset), None)
        self._sent = self._acknowledged = 0
        self._closed = False
        self.wake = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        while not self._closed:
            self.wake.clear()
            if self._sent - self._acknowledged < CREDIT:
                step = await self._tail.step(self._mark)
                if step is not None and not self._closed:
                    return self._send(step)
                if self._closed:
                    break
            await self.wake.wait()
        raise StopAsyncIteration

    def ack(self, seq: int) -> None:
        """All batches up to this one have arrived. A number that was never sent counts for nothing."""
        if self._acknowledged < seq <= self._sent:
            self._acknowledged = seq
            self.wake.set()

    def close(self) -> None:
        """Stop; who waits for the next batch gets the end of the iteration."""
        if not self._closed:
            self._closed = True
            self.wake.set()
            self._hub._leave(self, self._tail)

    def _send(self, step: _Step) -> Batch:
        self._mark = step.after
        self._sent += 1
        encoded = f'{{"seq": {self._sent}, {step.encoded}'
        return Batch(self._sent, step.lines, step.after.offset, encoded)


class _Tail:
    """Watches one log, and makes the steps that its viewers take."""

    def __init__(self, directory: Path, poll: float) -> None:
        self.directory = directory
        self.viewers: set[Viewer] = set()
        self._poll = poll
        self._size = -1  # of the log at the last look, bytes
        self._looks = 0  # at which the log had grown
        self._steps: OrderedDict[_Mark, tuple[int, asyncio.Task[_Step | None]]] = OrderedDict()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        self._watching.cancel()

    async def step(self, mark: _Mark) -> _Step | None:
        """What comes after this mark, or None as long as nothing does. Read once for all who ask."""
        while True:
            looks, task = self._steps.get(mark) or self._begin(mark)
            step = task.result() if task.done() else await asyncio.shield(task)
            if step is not None or looks == self._looks:
                return step
            # It may have read before the log grew. Its callback may come later than we do.
            self._forget_if_void(mark, task)

    def _begin(self, mark: _Mark) -> tuple[int, asyncio.Task[_Step | None]]:
        task = asyncio.create_task(asyncio.to_thread(_step, self.directory, mark))
        self._steps[mark] = self._looks, task
        if len(self._steps) > KEPT_STEPS:
            self._steps.popitem(last=False)
        task.add_done_callback(lambda task: self._forget_if_void(mark, task))
        return self._looks, task

    def _forget_if_void(self, mark: _Mark, task: "asyncio.Task[_Step | None]") -> None:
        """A step stays true for ever; that there was none, or that it failed, does not."""
        void = task.cancelled() or task.exception() is not None or task.result() is None
        if void and mark in self._steps and self._steps[mark][1] is task:
            del self._steps[mark]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_ENDED if await self._look() else self._poll)

    async def _look(self) -> bool:
        """Wake the viewers if the log has grown; returns whether its launch has ended."""
        try:
            ended, size = await asyncio.to_thread(_state, self.directory)
        except (
            OSError
        ):  # no descriptors left, or a disk that fails: look again, and wake everybody when it works
            ended, size = False, -1
        if size != self._size:
            self._size = size
            self._looks += 1
            for viewer in self.viewers:
                viewer.wake.set()
        return ended


def _state(directory: Path) -> tuple[bool, int]:
    ended = store.has_ended(directory)  # first: then the size is the last one
    return ended, store.size(directory)


def _step(directory: Path, mark: _Mark) -> _Step | None:
    try:
        page = store.read(directory, mark.offset, BATCH)
    except OSError:
        return None  # `_look` fails as well, and wakes everybody when it no longer does
    lines = page.lines
    unfinished = lines[-1] if lines and page.next_offset <= lines[-1].offset else None
    if mark.shown is not None and lines and lines[0] == mark.shown:
        lines = lines[1:]
    if not lines:
        return None
    encoded = f'"lines": {json.dumps([asdict(line) for line in lines])}, "next_offset": {page.next_offset}}}'
    return _Step(lines, _Mark(page.next_offset, unfinished), encoded)
