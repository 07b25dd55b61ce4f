"""A launcher without processes: for tests of those who use one, and a second reading of the five calls."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from signal import SIGKILL, SIGTERM

from instances.launchers.base import HOST_RESTARTED, Exit, LaunchError, LaunchSpec, Observation, Ref
from instances.logs.writer import Writer


@dataclass
class _Launch:
    spec: LaunchSpec
    pid: int
    exit: Exit | None = None
    lost: str = ""  # why
    kill_at: float | None = None  # by the launcher's clock


class MemoryLauncher:
    """Behaves like a host whose programs run until they are told otherwise.

    What a test may set: `refusal` (the sentence of a LaunchError), `missing` (programs that cannot be run),
    `stubborn` (launch ids that ignore SIGTERM). What it may do: `end`, `lose`, `say`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock, self._now = clock, now
        self._launches: dict[int, _Launch] = {}
        self.refusal = ""
        self.missing: set[str] = set()
        self.stubborn: set[int] = set()

    def start(self, spec: LaunchSpec) -> Ref:
        if spec.launch_id not in self._launches:
            if self.refusal:
                raise LaunchError(self.refusal)
            launch = self._launches[spec.launch_id] = _Launch(spec, pid=1_000_000 + spec.launch_id)
            if spec.argv[0] in self.missing:
                launch.exit = Exit(None, None, self._now(), f"{spec.argv[0]} does not exist.")
        return Ref(spec.launch_id, spec.directory)

    def running(self) -> list[Ref]:
        found = [(key, launch) for key, launch in sorted(self._launches.items()) if self._runs(launch)]
        return [Ref(key, launch.spec.directory) for key, launch in found]

    def observe(self, ref: Ref) -> Observation:
        launch = self._launches.get(ref.launch_id)
        if launch is None:
            return Observation(False, None, None, True, "this host knows nothing of the launch")
        pid = None if launch.exit is not None and launch.exit.spawn_error else launch.pid
        return Observation(self._runs(launch), pid, launch.exit, bool(launch.lost), launch.lost)

    def stop(self, ref: Ref, grace: float) -> None:
        launch = self._launches.get(ref.launch_id)
        if launch is None or not self._runs(launch):
            return
        if grace > 0 and ref.launch_id not in self.stubborn:
            self.end(ref.launch_id, code=None, signal=SIGTERM)
            return
        at = self._clock() + max(0.0, grace)
        launch.kill_at = at if launch.kill_at is None else min(launch.kill_at, at)

    def kill(self, ref: Ref) -> None:
        self.stop(ref, 0.0)

    @property
    def started(self) -> list[LaunchSpec]:
        """What was started, in order."""
        return [launch.spec for launch in self._launches.values()]

    def end(self, launch_id: int, code: int | None = 0, signal: int | None = None) -> None:
        """Let the program end by itself."""
        self._launches[launch_id].exit = Exit(code, signal, self._now())

    def lose(self, launch_id: int, reason: str = HOST_RESTARTED) -> None:
        """Let the launch be gone without a record."""
        self._launches[launch_id].lost = reason

    def say(self, launch_id: int, text: str) -> None:
        """Let the program write whole lines; they follow what the launch's log holds."""
        directory = self._launches[launch_id].spec.directory
        directory.mkdir(parents=True, exist_ok=True)
        writer = Writer(str(directory), self._launches[launch_id].spec.log_cap)
        writer.feed(text.encode())
        writer.close()

    def _runs(self, launch: _Launch) -> bool:
        """Whether it still does; a grace that is over ends it here."""
        runs = launch.exit is None and not launch.lost
        if runs and launch.kill_at is not None and self._clock() >= launch.kill_at:
            launch.exit = Exit(None, SIGKILL, self._now())
            return False
        return runs
