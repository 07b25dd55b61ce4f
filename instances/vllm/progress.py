"""Shows a person that a long installation moves: which step, for how long, and what pip is at."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

BYTES = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
FETCHED = re.compile(r"Downloading \S+ \(([\d.]+) (bytes|kB|MB|GB)\)")
COLLECTED = re.compile(r"^Collecting ", re.MULTILINE)
REFRESH = 0.25  # seconds between two pictures of the line on a terminal
REPEAT = 10  # seconds between two lines where the output is kept, as in a log of CI


class Progress:
    """One line for each step: rewritten in place on a terminal, repeated every 10 s elsewhere."""

    def __init__(self, steps: int, out: TextIO = sys.stdout) -> None:
        self.steps = steps
        self.out = out
        self.live = out.isatty()
        self.number = 0
        self.words = ""
        self.began = self.shown = time.monotonic()

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """The next step, from its first to its last moment; one that raises is marked."""
        self.number += 1
        self.words = words
        self.began = self.shown = time.monotonic()
        if self.live:
            self._write("", end="")
        outcome = "not finished"
        try:
            yield
            outcome = "done"
        finally:
            self._write(outcome, end="\n")

    def update(self, detail: str) -> None:
        now = time.monotonic()
        if now - self.shown >= (REFRESH if self.live else REPEAT):
            self.shown = now
            self._write(detail, end="" if self.live else "\n")

    def _write(self, detail: str, end: str) -> None:
        seconds = time.monotonic() - self.began
        start = "\r\x1b[K" if self.live else ""
        line = f"      {self.number}/{self.steps} {self.words:<24} {seconds:4.0f} s   {detail}".rstrip()
        self.out.write(f"{start}{line}{end}")
        self.out.flush()


def pip_detail(log: str, packages: int) -> str:
    """What pip is doing by its own output so far; `packages` is how many it was asked for."""
    collected = len(COLLECTED.findall(log))
    fetched = sum(float(size) * BYTES[unit] for size, unit in FETCHED.findall(log))
    words = []
    if "Installing collected packages" in log:
        words.append("unpacking")
    elif collected:
        words.append(
            f"{collected} of {packages} packages" if packages >= collected else f"{collected} packages"
        )
    if fetched >= 10**6:
        words.append(f"{fetched / 10**6:.0f} MB")
    return ", ".join(words)
