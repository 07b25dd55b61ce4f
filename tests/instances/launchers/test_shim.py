"""The shim with real processes: how engines end, and that nothing of them stays."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from instances.launchers import processes, shim
from instances.launchers.base import Ref
from instances.logs import store

from .host import Host, is_alive, until

FAMILY = """
import os, pathlib, signal, time
def child(detach):
    pid = os.fork()
    if pid == 0:
        if detach:
            os.setsid()
        if not {keeps_pipe}:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if os.fork() == 0:
            open("pids", "a").write(f"{{os.getpid()}}\\n")
        else:
            open("pids", "a").write(f"{{os.getpid()}}\\n")
        time.sleep(600)
child(True)
child(False)
while len(open("pids").read().split() if os.path.exists("pids") else []) < 4:
    time.sleep(0.01)
open("pids", "a").write("ready\\n")
{then}
"""


def family(host: Host, then: str, keeps_pipe: bool = True) -> tuple[Ref, list[int]]:
    """An engine with two children, one in a session of its own, and a child of each; all ignore SIGTERM."""
    ref = host.python(FAMILY.format(then=then, keeps_pipe=keeps_pipe))
    pids = host.pids(ref)
    assert len(pids) == 4 and all(map(is_alive, pids))
    return ref, pids


def log(ref: Ref) -> list[str]:
    return [line.text for line in store.read(ref.directory).lines]


def test_it_keeps_what_the_engine_says_on_both_outputs(host: Host) -> None:
    ref = host.run("sh", "-c", "echo out; echo err >&2; printf 'no newline'")
    assert host.ended(ref).code == 0
    assert log(ref) == ["out", "err", "no newline"]


def test_it_gives_the_engine_nothing_to_read_and_its_own_environment_only(host: Host) -> None:
    # row 37: the environment is built from scratch
    os.environ["CANARY"] = "leaked"
    ref = host.start(host.spec("sh", "-c", "cat; env | sort; pwd", HELLO="world"))
    del os.environ["CANARY"]
    assert host.ended(ref).code == 0
    said = log(ref)
    assert "HELLO=world" in said and str(ref.directory) in said
    assert not any("CANARY" in line for line in said)


def test_secrets_stand_in_no_argv_and_the_spec_is_private(host: Host) -> None:
    # row 40: canary secrets in no argv
    ref = host.start(host.spec("sleep", "600", VLLM_API_KEY="canary-7331"))
    pid = host.shim_pid(ref)
    assert b"canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert stat.S_IMODE((ref.directory / "spec.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(ref.directory.stat().st_mode) == 0o700


def test_it_tells_which_signal_ended_the_engine(host: Host) -> None:
    ref = host.python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    exit_ = host.ended(ref)
    assert (exit_.code, exit_.signal) == (None, signal.SIGSEGV)


def test_an_engine_ignores_and_blocks_no_signal_because_of_us(host: Host) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as in a shell's background
    try:
        ref = host.run("sh", "-c", "grep -E 'SigIgn|SigBlk' /proc/self/status")
        host.ended(ref)
    finally:
        signal.signal(signal.SIGQUIT, before)
    ordinary = (1 << 31) - 1
    assert [int(line.split()[1], 16) & ordinary for line in log(ref)] == [0, 0]


def test_a_stop_lets_the_main_process_clean_up(host: Host) -> None:
    ref = host.python(
        "import signal, sys, time, pathlib\n"
        "def leave(*_):\n    print('leaving', flush=True); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, leave)\npathlib.Path('ready').touch()\ntime.sleep(600)"
    )
    host.said(ref, "ready")
    host.launcher.stop(ref, 60.0)
    assert host.ended(ref).code == 7
    assert log(ref) == ["leaving"]


def test_a_stop_reaches_a_shim_that_is_suspended(host: Host) -> None:
    ref = host.run("sleep", "600")
    until(lambda: host.launcher.observe(ref).pid)
    keeper = host.launcher.observe(ref).keeper
    assert keeper is not None
    os.kill(keeper, signal.SIGSTOP)
    host.launcher.stop(ref, 60.0)
    assert host.ended(ref).signal == signal.SIGTERM


def test_a_stop_sends_sigterm_to_the_main_process_alone_and_once(host: Host) -> None:
    ref = host.python(
        "import os, signal, time, pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('term', os.getpid() == main, flush=True))\n"
        "main = os.getpid()\nos.fork()\npathlib.Path('ready').touch()\n"
        "while True: time.sleep(600)"
    )
    host.said(ref, "ready")
    for _ in range(3):
        host.launcher.stop(ref, 600.0)
    until(lambda: log(ref))
    host.launcher.kill(ref)
    host.ended(ref)
    assert log(ref) == ["term True"]


def test_a_kill_ends_every_descendant_also_in_other_sessions(host: Host) -> None:
    ref, pids = family(host, "time.sleep(600)")
    host.launcher.kill(ref)
    assert host.ended(ref).signal == signal.SIGKILL
    assert not any(map(is_alive, pids))


def test_orphans_of_a_main_process_that_ended_are_swept_before_the_exit_is_told(host: Host) -> None:
    # row 5: the main process alone is gone, its children live on
    ref, pids = family(host, "os.kill(os.getpid(), signal.SIGKILL)")
    exit_ = host.ended(ref)
    assert (exit_.signal, exit_.unswept) == (signal.SIGKILL, ())
    assert not any(map(is_alive, pids))


def test_orphans_without_the_pipe_are_swept_as_well(host: Host) -> None:
    ref, pids = family(host, "raise SystemExit(4)", keeps_pipe=False)
    assert host.ended(ref).code == 4
    assert not any(map(is_alive, pids))


def test_a_grandchild_that_holds_the_pipe_does_not_hold_up_a_stop(host: Host) -> None:
    ref, pids = family(host, "time.sleep(600)")
    host.launcher.stop(ref, 60.0)  # the main process obeys, its children do not
    assert host.ended(ref).signal == signal.SIGTERM
    assert not any(map(is_alive, pids))


def test_dead_orphans_are_collected_while_the_engine_runs(host: Host) -> None:
    ref = host.python(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    pid = os.fork()\n"
        "    if pid:\n"
        "        open('pids', 'a').write(f'{pid}\\nready\\n')\n"
        "    os._exit(0)\n"
        "os.wait()\ntime.sleep(600)"
    )
    (orphan,) = host.pids(ref)
    until(lambda: processes.look(orphan) is None)
    assert host.see(ref).alive


def test_a_stop_before_the_engine_has_begun_is_not_lost(host: Host) -> None:
    spec = host.spec("sleep", "600")
    ref = host.start(spec)
    host.launcher.stop(ref, 60.0)
    assert host.ended(ref).signal == signal.SIGTERM


def test_a_file_that_may_not_be_run_is_a_clear_reason(host: Host, tmp_path: Path) -> None:
    # row 13: no permission
    program = tmp_path / "vllm"
    program.write_text("#!/nowhere/python\n")
    assert "may not be run" in host.ended(host.run(str(program))).spawn_error
    program.chmod(0o755)
    exit_ = host.ended(host.run(str(program)))
    assert "interpreter" in exit_.spawn_error
    assert any(exit_.spawn_error in line for line in log(host.refs[-1]))


def test_a_program_is_found_in_the_path_of_its_own_environment(host: Host, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "my-engine"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    ref = host.start(host.spec("my-engine", PATH=f"{program.parent}:{os.environ['PATH']}"))
    assert host.ended(ref).code == 0
    assert log(ref) == ["found"]


def test_a_second_shim_for_one_launch_refuses(host: Host) -> None:
    # row 2: exactly one engine
    ref = host.run("sh", "-c", "echo once; sleep 600")
    host.shim_pid(ref)
    until(lambda: log(ref))
    again = [sys.executable, "-I", "-S", shim.__file__, str(ref.directory)]
    assert subprocess.run(again, check=False).returncode == shim.REFUSED
    host.launcher.kill(ref)
    host.ended(ref)
    assert subprocess.run(again, check=False).returncode == shim.REFUSED
    assert log(ref) == ["once"]


def test_a_shim_that_has_the_lock_keeps_every_other_out_before_it_has_said_who_it_is(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({"argv": ["true"], "env": {}, "log_cap": 1024}))
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = [sys.executable, "-I", "-S", shim.__file__, str(tmp_path)]
        assert subprocess.run(again, check=False).returncode == shim.REFUSED
    assert not (tmp_path / "shim.json").exists()


def test_the_exit_record_has_its_room_on_the_disk_before_the_engine_begins(host: Host) -> None:
    # row 17: exit still recorded
    ref = host.python("import os; print(os.path.getsize('exit.json'), open('exit.json').read(1) == '{')")
    host.ended(ref)
    assert log(ref) == [f"{shim.RECORD} False"]
    assert json.loads((ref.directory / "exit.json").read_text())["code"] == 0


def test_the_shim_has_nothing_open_that_its_starter_had(host: Host, tmp_path: Path) -> None:
    with open(tmp_path / "ours", "w") as ours:
        os.set_inheritable(ours.fileno(), True)
        pid = host.shim_pid(host.run("sleep", "600"))
        until(lambda: str(tmp_path / "ours") not in opened(pid))


def opened(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed between two looks
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def test_a_flood_stays_under_the_cap_and_the_shim_stays_small(host: Host) -> None:
    # row 16: disk within cap
    cap = 4 * 1024 * 1024
    line = "(APIServer pid=1) INFO 11-25 03:54:48 [loggers.py:123] a line of the usual length for an engine"
    ref = host.python(
        "import os, pathlib, time\n"
        f"data = {line!r}.encode() + b'\\n'\n"
        "for _ in range(600): os.write(1, data * 1000)\n"
        "os.write(1, b'the last one\\n')\ntime.sleep(600)",
        cap=cap,
    )
    until(lambda: [line for line in store.tail(ref.directory, 1) if line.text == "the last one"])
    kept = sum(path.stat().st_size for path in ref.directory.glob("log*"))
    assert cap / 2 < kept <= cap
    status = Path(f"/proc/{host.shim_pid(ref)}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 14 * 1024  # KiB


def test_one_line_of_ten_megabytes_is_broken_and_kept(host: Host) -> None:
    # row 16: one 10 MB line
    ref = host.python("import os\nfor _ in range(160): os.write(1, b'x' * 65536)\nprint()\nprint('after')")
    assert host.ended(ref).code == 0
    lines = store.read(ref.directory, limit=10_000).lines
    assert lines[-1].text == "after"
    kept = sum(record.count(b"x") for record in (ref.directory / "log").read_bytes().split(b"\n"))
    assert kept == 160 * 65536
