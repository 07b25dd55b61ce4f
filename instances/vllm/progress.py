"""Shows a person that a long installation moves: which step, for how long, and what pip is at."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from instances.jobs.tell import Tell

BYTES = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
FETCHED = re.compile(r"Downloading \S+ \(([\d.]+) (bytes|kB|MB|GB)\)")
COLLECTED = re.compile(r"^(?:Collecting|Processing) ", re.MULTILINE)
TELLING = re.compile(
    r"\s*(Collecting|Processing|Downloading|Using cached|Building|Installing|Successfully|ERROR)\b"
)
REFRESH = 0.25  # seconds between two pictures of the line on a terminal
REPEAT = 10  # seconds between two lines where the output is kept, as in a log of CI
LONGEST = 300  # characters of pip's longest lines that are worth reading


class Progress:
    """One line for each step: rewritten in place on a terminal, repeated every 10 s elsewhere.

    With `tell` somebody follows it on a page: then pip's own lines are printed, and the state is told.
    """

    def __init__(self, out: TextIO = sys.stdout, tell: Tell | None = None) -> None:
        self.steps = 0
        self.out = out
        self.tell = tell
        self.live = out.isatty()
        self.number = 0
        self.words = ""
        self.began = self.shown = time.monotonic()
        self._printed = 0  # characters of the running command's output

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """The next step, from its first to its last moment; one that raises is marked."""
        self.number += 1
        self.words = words
        self.began = self.shown = time.monotonic()
        if self.live:
            self._write("", end="")
        self._tell("", None)
        outcome = "not finished"
        try:
            yield
            outcome = "done"
        finally:
            self._write(outcome, end="\n")

    def say(self, words: str) -> None:
        """A sentence between the steps."""
        self.out.write(f"      {words}\n")
        self.out.flush()
        if self.tell:
            self.tell.say(words)

    def command(self) -> None:
        """A new command begins, whose output is empty."""
        self._printed = 0

    def update(self, said: str, packages: int) -> None:
        """What the running command has said so far; of pip's `packages` are how many it was asked for."""
        if self.tell:
            self._print(said)
        now = time.monotonic()
        if now - self.shown < (REFRESH if self.live or self.tell else REPEAT):
            return
        self.shown = now
        detail = pip_detail(said, packages)
        if self.tell:
            self._tell(detail, _fetched(said))
        else:
            self._write(detail, end="" if self.live else "\n")

    def _tell(self, detail: str, done: int | None) -> None:
        if self.tell:
            text = f"{self.number}/{self.steps} {self.words}"
            self.tell.say(f"{text}: {detail}" if detail else text, done=done)

    def _print(self, said: str) -> None:
        """Those whole lines of pip's that a person can use and has not seen yet."""
        end = said.rfind("\n") + 1
        for line in said[self._printed : end].splitlines():
            if TELLING.match(line):
                self.out.write(f"{line[:LONGEST]}\n")
        self._printed = max(self._printed, end)
        self.out.flush()

    def _write(self, detail: str, end: str) -> None:
        seconds = time.monotonic() - self.began
        start = "\r\x1b[K" if self.live else ""
        line = f"      {self.number}/{self.steps} {self.words:<24} {seconds:4.0f} s   {detail}".rstrip()
        self.out.write(f"{start}{line}{end}")
        self.out.flush()


def pip_detail(log: str, packages: int) -> str:
    """What pip is doing by its own output so far; `packages` is how many it was asked for."""
    collected = len(COLLECTED.findall(log))
    fetched = _fetched(log)
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


def _fetched(log: str) -> int:
    """Bytes of all that pip has begun to fetch."""
    return round(sum(float(size) * BYTES[unit] for size, unit in FETCHED.findall(log)))
