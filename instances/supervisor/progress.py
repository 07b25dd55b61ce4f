"""Does a starting engine still get on? Pure: no clock and no database of its own.

A stall is the absence of progress, not of lines: one INFO line a minute is no progress, and a silent compile of half
an hour is. Progress is a new phase or count, processor time, bytes read or written, or work on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

BUSY_CPU = 10.0  # percent of one thread; waiting processes of an engine were seen to take up to 4
MOVED_BYTES = 1024 * 1024  # between two looks; a log line or two is less
BUSY_GPU = 5.0  # percent


@dataclass(frozen=True)
class Look:
    """What can be seen of a start at one moment. None is "not known"."""

    phase: str = ""
    counted: tuple[int, ...] = ()  # n of m within the phase
    cpu_percent: float | None = None  # of its process tree, since the look before
    io_bytes: int | None = None  # read and written by the tree, in all
    gpu_percent: float | None = None  # of GPUs that it has for itself
    gpu_memory: int | None = None  # bytes that its processes hold on GPUs


class Progress:
    """Remembers when a start was last seen to get on."""

    def __init__(self, now: float) -> None:
        """`now` and all later times are monotonic seconds."""
        self._began = self._moved_at = now
        self._last = Look()

    def began(self, now: float) -> None:
        """The start itself; what came before was waiting for it."""
        self._began = self._moved_at = now

    def saw(self, look: Look, now: float) -> None:
        if self._moved(look):
            self._moved_at = now
        self._last = look

    def still_for(self, now: float) -> float:
        """Seconds without progress."""
        return now - self._moved_at

    def running_for(self, now: float) -> float:
        """Seconds since it began, or since this supervisor took it up."""
        return now - self._began

    def _moved(self, look: Look) -> bool:
        last = self._last
        return (
            (look.phase, look.counted) != (last.phase, last.counted)
            or (look.cpu_percent or 0.0) >= BUSY_CPU
            or (look.gpu_percent or 0.0) >= BUSY_GPU
            or _grew(last.io_bytes, look.io_bytes)
            or _grew(last.gpu_memory, look.gpu_memory)
        )


def _grew(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and abs(after - before) >= MOVED_BYTES
