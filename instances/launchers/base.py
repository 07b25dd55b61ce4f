"""How an engine is put on a host: five calls, and what goes in and comes out of them.

The supervisor knows only this module. Every call is quick: none waits for an engine to start or to end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

LOG_CAP = 256 * 1024 * 1024  # bytes kept of one launch's log
HOST_RESTARTED = "host restarted"  # the reason of a loss that is no failure of the engine


class LaunchError(Exception):
    """A launch could not be handed to the host. Carries a sentence for the person."""


@dataclass(frozen=True)
class LaunchSpec:
    """All that a host needs to know to run one launch."""

    launch_id: int
    argv: tuple[str, ...]  # argv[0] is an absolute path, or is found in the PATH of `env`
    env: Mapping[str, str]  # the engine's whole environment
    directory: Path  # LLMOPS_DATA/launches/<launch_id>
    log_cap: int = LOG_CAP  # bytes


@dataclass(frozen=True)
class Ref:
    """Which launch; enough to find it again after the supervisor has been restarted."""

    launch_id: int
    directory: Path


@dataclass(frozen=True)
class Exit:
    """How the engine's main process ended, told only once its whole tree was gone (or would not go)."""

    code: int | None  # exit code; None when a signal ended it or it never began
    signal: int | None  # the signal that ended it
    at: datetime  # UTC
    spawn_error: str = ""  # why the program could not be started, as a sentence
    unswept: tuple[int, ...] = ()  # pids that no SIGKILL could end


@dataclass(frozen=True)
class Observation:
    """What is true of a launch now: exactly one of `alive`, `exit` and `lost`."""

    alive: bool  # somebody looks after it and its tree has not ended yet
    pid: int | None  # the engine's main process, once it is known
    exit: Exit | None
    lost: bool  # nobody looks after it, no exit was recorded, and no process of it is left
    reason: str = ""  # why it is lost, or what is going on while it is still being ended
    keeper: int | None = None  # pid of the process here whose end means that something has happened


class Launcher(Protocol):
    """Puts engines on a host and finds them again. One launch id never has two processes."""

    def start(self, spec: LaunchSpec) -> Ref:
        """Begin the launch, or return the Ref of one that runs or has run under this id.

        Raises LaunchError if the host cannot take it. A program that cannot be executed is no LaunchError: it
        is an Exit with `spawn_error`.
        """

    def running(self) -> list[Ref]:
        """The launches of this host of which no end is known."""

    def observe(self, ref: Ref) -> Observation:
        """What has become of it."""

    def stop(self, ref: Ref, grace: float) -> None:
        """Ask the main process to end; after `grace` seconds the whole tree is killed.

        Returns at once. A later call with a smaller grace hurries it; no call ever gives it more time.
        """

    def kill(self, ref: Ref) -> None:
        """Kill the whole tree without grace. Returns at once."""
