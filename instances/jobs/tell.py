"""How a program of a job says how far it is: a small file, which the supervisor reads. Knows no Django."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

EVERY = 0.25  # seconds between two writes, at least
SPEED_OVER = 10.0  # seconds


class Tell:
    """One program's own file. Every write is whole; a state that matters (an end, another text) is never left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: dict[str, Any] = {}
        self._written = float("-inf")  # monotonic seconds
        self._seen: list[tuple[float, int]] = []  # monotonic seconds, bytes

    def say(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """What it does; `done` of `total` bytes, where they are known."""
        speed = self._speed(done)
        eta = (total - done) / speed if speed and total is not None and done is not None else None
        self._facts = {"text": text, "done": done, "total": total, "speed": speed, "eta": eta}
        if time.monotonic() - self._written >= EVERY:
            self._write()

    def fail(self, reason: str, mend: str) -> None:
        """Why it gives up, and what to do; two sentences."""
        self._facts |= {"failed": reason, "mend": mend}
        self._write()

    def finish(self, result: str = "") -> None:
        self._facts |= {"result": result}
        self._write()

    def _speed(self, done: int | None) -> float | None:
        """Bytes a second over the last ten seconds."""
        now = time.monotonic()
        if done is None or (self._seen and done < self._seen[-1][1]):
            self._seen = []
        if done is None:
            return None
        self._seen = [*(one for one in self._seen if now - one[0] <= SPEED_OVER), (now, done)]
        seconds = now - self._seen[0][0]
        return (done - self._seen[0][1]) / seconds if seconds > 0 else None

    def _write(self) -> None:
        self._written = time.monotonic()
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        draft.write_text(json.dumps(self._facts))
        draft.replace(self.path)
