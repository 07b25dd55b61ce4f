"""What every launcher promises, tried on the real one and on the one in memory."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from instances.launchers.base import Exit, Launcher, LaunchSpec, Observation, Ref
from instances.launchers.memory import MemoryLauncher

from .host import Host, until

STUBBORN = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("ready").touch()
time.sleep(600)
"""


class World(Protocol):
    launcher: Launcher

    def lasting(self, number: int) -> LaunchSpec: ...
    def stubborn(self, number: int) -> LaunchSpec: ...
    def failing(self, number: int, code: int) -> Ref: ...
    def missing(self, number: int) -> LaunchSpec: ...
    def settle(self, ref: Ref) -> None: ...


class RealWorld:
    def __init__(self, root: Path) -> None:
        self.host = Host(root)
        self.launcher: Launcher = self.host.launcher

    def lasting(self, number: int) -> LaunchSpec:
        return self._note(self.host.spec("sleep", "600", number=number))

    def stubborn(self, number: int) -> LaunchSpec:
        return self._note(self.host.spec(sys.executable, "-I", "-S", "-c", STUBBORN, number=number))

    def failing(self, number: int, code: int) -> Ref:
        return self.launcher.start(self._note(self.host.spec("sh", "-c", f"exit {code}", number=number)))

    def missing(self, number: int) -> LaunchSpec:
        return self._note(self.host.spec("/nowhere/vllm", number=number))

    def settle(self, ref: Ref) -> None:
        """Wait until a stubborn program has become so."""
        self.host.said(ref, "ready")

    def _note(self, spec: LaunchSpec) -> LaunchSpec:
        self.host.refs.append(Ref(spec.launch_id, spec.directory))
        return spec


class MemoryWorld:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.memory = MemoryLauncher()
        self.launcher: Launcher = self.memory

    def lasting(self, number: int) -> LaunchSpec:
        return LaunchSpec(number, ("sleep", "600"), {}, self.root / str(number))

    def stubborn(self, number: int) -> LaunchSpec:
        self.memory.stubborn.add(number)
        return self.lasting(number)

    def failing(self, number: int, code: int) -> Ref:
        ref = self.launcher.start(self.lasting(number))
        self.memory.end(number, code)
        return ref

    def missing(self, number: int) -> LaunchSpec:
        self.memory.missing.add("/nowhere/vllm")
        return LaunchSpec(number, ("/nowhere/vllm",), {}, self.root / str(number))

    def settle(self, ref: Ref) -> None:
        pass


@pytest.fixture(params=["local", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld(tmp_path)
        return
    real = RealWorld(tmp_path)
    yield real
    real.host.refs = [ref for ref in real.host.refs if ref.directory.exists()]
    real.host.close()


def running(world: World, ref: Ref) -> Observation:
    until(lambda: world.launcher.observe(ref).pid is not None)
    return world.launcher.observe(ref)


def ended(world: World, ref: Ref) -> Exit:
    until(lambda: not world.launcher.observe(ref).alive)
    exit_ = world.launcher.observe(ref).exit
    assert exit_ is not None
    return exit_


def test_it_runs_what_it_was_given(world: World) -> None:
    ref = world.launcher.start(world.lasting(1))
    assert ref.launch_id == 1
    seen = running(world, ref)
    assert seen.alive and not seen.lost and seen.exit is None
    assert [found.launch_id for found in world.launcher.running()] == [1]


def test_a_second_start_of_a_launch_makes_no_second_process(world: World) -> None:
    ref = world.launcher.start(world.lasting(1))
    pid = running(world, ref).pid
    assert world.launcher.start(world.lasting(1)) == ref
    assert running(world, ref).pid == pid
    assert len(world.launcher.running()) == 1


def test_a_start_of_a_launch_that_has_ended_does_not_run_it_again(world: World) -> None:
    ref = world.failing(1, 3)
    before = ended(world, ref)
    assert world.launcher.start(world.lasting(1)) == ref
    assert ended(world, ref) == before


def test_it_tells_the_exit_code_and_when_in_utc(world: World) -> None:
    exit_ = ended(world, world.failing(1, 3))
    assert (exit_.code, exit_.signal, exit_.spawn_error, exit_.unswept) == (3, None, "", ())
    assert exit_.at.utcoffset() == datetime.now(UTC).utcoffset()
    assert world.launcher.running() == []


def test_a_stop_ends_it_by_sigterm(world: World) -> None:
    ref = world.launcher.start(world.lasting(1))
    running(world, ref)
    world.launcher.stop(ref, 20.0)
    exit_ = ended(world, ref)
    assert (exit_.code, exit_.signal) == (None, 15)


def test_a_kill_ends_it_by_sigkill(world: World) -> None:
    ref = world.launcher.start(world.lasting(1))
    running(world, ref)
    world.launcher.kill(ref)
    exit_ = ended(world, ref)
    assert (exit_.code, exit_.signal) == (None, 9)


def test_one_that_ignores_sigterm_is_killed_when_its_grace_is_over(world: World) -> None:
    # row 14: SIGKILL after grace
    ref = world.launcher.start(world.stubborn(1))
    running(world, ref)
    world.settle(ref)
    world.launcher.stop(ref, 0.3)
    assert ended(world, ref).signal == 9


def test_a_second_stop_with_less_grace_hurries_it_and_one_with_more_does_not_slow_it(world: World) -> None:
    # row 14: a second Stop forces at once
    ref = world.launcher.start(world.stubborn(1))
    running(world, ref)
    world.settle(ref)
    world.launcher.stop(ref, 600.0)
    assert world.launcher.observe(ref).alive
    world.launcher.stop(ref, 0.0)
    world.launcher.stop(ref, 600.0)
    assert ended(world, ref).signal == 9


def test_a_program_that_is_not_there_is_an_exit_with_a_reason(world: World) -> None:
    # row 13: no executable
    exit_ = ended(world, world.launcher.start(world.missing(1)))
    assert (exit_.code, exit_.signal) == (None, None)
    assert "/nowhere/vllm does not exist" in exit_.spawn_error


def test_a_launch_that_nobody_knows_is_lost(world: World, tmp_path: Path) -> None:
    seen = world.launcher.observe(Ref(99, tmp_path / "99"))
    assert seen.lost and not seen.alive and seen.reason


def test_stopping_what_has_ended_or_never_was_is_no_error(world: World, tmp_path: Path) -> None:
    ref = world.failing(1, 0)
    before = ended(world, ref)
    world.launcher.stop(ref, 1.0)
    world.launcher.kill(Ref(99, tmp_path / "99"))
    assert ended(world, ref) == before
