import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from monitoring.processes import ProcessReader, Usage, described

# A parent with one child; both hold some memory, the child also computes.
TREE = """
import subprocess, sys
ballast = bytearray(20 * 2**20)
child = subprocess.Popen([sys.executable, "-c", '''
ballast = bytearray(30 * 2**20)
print("ready", flush=True)
while True: pass
'''])
child.wait()
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", TREE], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def usage_of(reader: ProcessReader, pid: int) -> Usage:
    return reader.usages([pid])[pid]


def test_it_counts_the_whole_tree(tree: subprocess.Popen[str]) -> None:
    usage = usage_of(ProcessReader(), tree.pid)
    assert usage.processes == 2
    assert usage.memory > 50 * 2**20
    assert usage.cpu_percent is None  # nothing to compare with yet


def test_its_cpu_is_measured_between_readings(tree: subprocess.Popen[str]) -> None:
    reader = ProcessReader()
    reader.usages([tree.pid])
    until(lambda: (usage_of(reader, tree.pid).cpu_percent or 0) > 10)


def test_a_process_that_is_gone_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert ProcessReader().usages([process.pid]) == {}


def test_a_process_that_nobody_collected_yet_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    reader = ProcessReader()
    until(lambda: not reader.usages([process.pid]))  # it is a zombie until the wait below
    process.wait()


def test_a_child_that_ends_meanwhile_is_not_counted(tree: subprocess.Popen[str]) -> None:
    reader = ProcessReader()
    reader.usages([tree.pid])
    (child,) = psutil.Process(tree.pid).children()
    tree.send_signal(signal.SIGSTOP)  # so that the parent lives on and does not collect the child
    child.kill()
    until(lambda: usage_of(reader, tree.pid).processes == 1)


def test_who_is_no_longer_asked_for_is_forgotten(tree: subprocess.Popen[str]) -> None:
    reader = ProcessReader()
    assert set(reader.usages([tree.pid])) == {tree.pid}
    assert reader.usages([]) == {}
    assert usage_of(reader, tree.pid).cpu_percent is None


def test_it_tells_who_belongs_to_the_tree_and_who_stands_still(tree: subprocess.Popen[str]) -> None:
    reader = ProcessReader()
    usage = usage_of(reader, tree.pid)
    (child,) = psutil.Process(tree.pid).children()
    assert usage.pids == (tree.pid, child.pid) and not usage.suspended
    child.suspend()
    until(lambda: usage_of(reader, tree.pid).suspended)


def test_a_child_that_comes_later_is_found_at_the_next_scan(tree: subprocess.Popen[str]) -> None:
    now = 0.0
    reader = ProcessReader(clock=lambda: now)
    (child,) = psutil.Process(tree.pid).children()
    child.kill()
    until(lambda: not child.is_running())
    usage_of(reader, os.getpid())
    late = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert late.pid not in usage_of(reader, os.getpid()).pids
        now = 6.0
        assert late.pid in usage_of(reader, os.getpid()).pids
    finally:
        late.communicate(b"\n")


def test_a_process_is_described_by_name_number_and_owner() -> None:
    me = psutil.Process()
    assert described(me.pid) == f"{me.name()} (process {me.pid} of {me.username()})"
    assert described(2**22 + 1) == f"process {2**22 + 1}"
