from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitoring import kernel


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc"


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    (tmp_path / "cgroup" / "ours").mkdir(parents=True)
    return tmp_path / "cgroup"


def test_nothing_that_may_be_read_is_nothing_known(proc: Path, cgroups: Path) -> None:
    assert kernel.oom_kills(proc, cgroups) is None


def test_it_counts_in_our_own_cgroup(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/ours\n")
    (cgroups / "ours" / "memory.events").write_text("low 0\nmax 12\noom 4\noom_kill 3\noom_group_kill 9\n")
    assert kernel.oom_kills(proc, cgroups) == 3


def test_it_counts_in_the_older_cgroups(proc: Path, cgroups: Path) -> None:
    (cgroups / "memory" / "ours").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("12:cpu,cpuacct:/x\n7:memory:/ours\n")
    (cgroups / "memory" / "ours" / "memory.oom_control").write_text("under_oom 0\noom_kill 5\n")
    assert kernel.oom_kills(proc, cgroups) == 5


def test_where_no_cgroup_counts_the_machine_does(proc: Path, cgroups: Path) -> None:
    (proc / "vmstat").write_text("nr_free_pages 7\noom_kill 2\n")
    assert kernel.oom_kills(proc, cgroups) == 2


def test_what_befell_others_on_the_machine_is_not_counted(proc: Path, cgroups: Path) -> None:
    (proc / "vmstat").write_text("oom_kill 40\n")
    (proc / "self" / "cgroup").write_text("0::/ours\n")
    (cgroups / "ours" / "memory.events").write_text("oom_kill 0\n")
    assert kernel.oom_kills(proc, cgroups) == 0


RECORDS = """\
6,900,10000000,-;usb 1-1: new device
4,901,20000000,-;Out of memory: Killed process 4711 (VLLM::EngineCor) total-vm:9kB
4,902,30000000,-;NVRM: Xid (PCI:0000:09:00): 79, pid=0, GPU has fallen off the bus.
6,903,40000000,-;python3[12]: segfault at 0 ip 0000 sp 0000 error 4
 SUBSYSTEM=pci
3,904,50000000,-;mce: [Hardware Error]: Machine check events logged
nonsense
"""


def test_it_reads_what_the_kernel_says_since_a_moment(tmp_path: Path) -> None:
    (tmp_path / "kmsg").write_text(RECORDS)
    told = kernel.messages(25.0, tmp_path / "kmsg")
    assert [line.split()[0] for line in told] == ["NVRM:", "python3[12]:", "mce:"]
    assert kernel.messages(0.0, tmp_path / "kmsg")[0].startswith("Out of memory: Killed process 4711")
    assert kernel.messages(99.0, tmp_path / "kmsg") == []


def test_a_log_that_may_not_be_read_has_no_lines(tmp_path: Path) -> None:
    assert kernel.messages(0.0, tmp_path / "none") == []


def test_a_log_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kmsg")
    assert kernel.messages(0.0, tmp_path / "kmsg") == []


def test_it_returns_the_newest_lines_of_a_long_log(tmp_path: Path) -> None:
    line = "4,1,{},-;Out of memory: Killed process {} (x)" + "x" * 5_000 + "\n"
    (tmp_path / "kmsg").write_text("".join(line.format(n * 1_000_000, n) for n in range(300)))
    told = kernel.messages(0.0, tmp_path / "kmsg")
    assert len(told) == kernel.MOST_LINES and "process 299 " in told[-1]
    assert max(map(len, told)) == kernel.LONGEST
