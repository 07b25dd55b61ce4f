"""The launcher of this host: finding again, not mistaking, and what is left when a shim is killed."""

import json
import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from instances.launchers import local, processes
from instances.launchers.base import HOST_RESTARTED, LaunchError, Ref
from instances.launchers.local import LocalLauncher

from .host import Host, is_alive, until
from .test_shim import family


def test_a_new_launcher_finds_what_runs_and_reads_an_end_it_has_missed(host: Host) -> None:
    # row 1: re-adopted; row 4: right exit code in history
    lasting, brief = host.run("sleep", "600"), host.run("sh", "-c", "sleep 0.1; exit 5")
    pid = (host.shim_pid(lasting), host.see(lasting).pid)[1]
    later = LocalLauncher(host.root)
    until(lambda: not later.observe(brief).alive)
    exit_ = later.observe(brief).exit
    assert exit_ is not None and exit_.code == 5
    assert abs((datetime.now(UTC) - exit_.at).total_seconds()) < 60
    assert later.running() == [lasting]
    assert later.observe(lasting).pid == pid
    later.stop(lasting, 10.0)
    assert host.ended(lasting).signal == signal.SIGTERM


def test_a_later_stop_with_more_grace_does_not_undo_one_that_was_not_heard_yet(host: Host) -> None:
    ref = host.python(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\npathlib.Path('ready').touch()\ntime.sleep(600)"
    )
    host.said(ref, "ready")
    shim = host.shim_pid(ref)
    os.kill(shim, signal.SIGSTOP)
    host.launcher.kill(ref)
    host.launcher.stop(ref, 600.0)
    os.kill(shim, signal.SIGCONT)
    assert host.ended(ref).signal == signal.SIGKILL


def test_a_shim_that_has_ended_stays_no_zombie(host: Host) -> None:
    ref = host.run("true")
    pid = host.shim_pid(ref)
    host.ended(ref)
    until(lambda: host.see(ref) and processes.look(pid) is None)


def test_a_launch_handed_over_but_never_begun_is_begun_by_the_next_start(host: Host) -> None:
    # row 2: SIGKILL between writing the launch down and starting it
    spec = host.spec("sh", "-c", "exit 6")
    spec.directory.mkdir(parents=True)
    kept = {"launch_id": 1, "argv": spec.argv, "env": dict(spec.env), "log_cap": spec.log_cap}
    (spec.directory / "spec.json").write_text(json.dumps(kept))
    assert host.launcher.observe(Ref(1, spec.directory)).alive
    assert host.ended(host.start(spec)).code == 6


@pytest.mark.parametrize("keeps_pipe", [True, False])
def test_when_the_shim_is_killed_the_tree_is_swept_and_the_launch_is_lost(
    host: Host, keeps_pipe: bool
) -> None:
    # row 7: SIGKILL the shim
    ref, pids = family(host, "time.sleep(600)", keeps_pipe)
    main = host.see(ref).pid
    assert main is not None
    os.kill(host.shim_pid(ref), signal.SIGKILL)
    until(lambda: host.see(ref).lost)
    seen = host.see(ref)
    assert seen.exit is None and seen.reason == local.SHIM_KILLED
    assert not any(map(is_alive, [main, *pids]))
    assert host.launcher.running() == []
    assert host.start(host.spec("sleep", "600", number=1)) == ref
    assert host.see(ref).lost


def test_when_main_and_shim_are_killed_the_orphans_are_found(host: Host) -> None:
    ref, pids = family(host, "time.sleep(600)")
    main = host.see(ref).pid
    assert main is not None
    shim = host.shim_pid(ref)
    os.kill(shim, signal.SIGSTOP)  # so that it cannot sweep first
    os.kill(main, signal.SIGKILL)
    os.kill(shim, signal.SIGKILL)
    until(lambda: host.see(ref).lost)
    assert not any(map(is_alive, pids))


def test_a_bystander_is_never_signalled(host: Host, tmp_path: Path) -> None:
    # row 9: the recorded pids belong to another program now
    ref = host.run("true")
    host.ended(ref)
    (ref.directory / "exit.json").write_text(" ")
    stranger = subprocess.Popen(["sleep", "600"], cwd=ref.directory, start_new_session=True)
    try:
        identity = json.loads((ref.directory / "shim.json").read_text())
        for who in ("shim", "engine"):
            identity[who]["pid"] = stranger.pid  # with the start time of the one who had it before
        (ref.directory / "shim.json").write_text(json.dumps(identity))
        host.launcher.stop(ref, 0.0)
        host.launcher.kill(ref)
        assert host.see(ref).lost
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_launch_of_an_earlier_boot_is_lost_and_touches_nobody(host: Host) -> None:
    # row 21: the machine rebooted
    ref = host.run("sleep", "600")
    pid = (host.shim_pid(ref), host.see(ref).pid)[1]
    assert pid is not None
    path = ref.directory / "shim.json"
    true_identity = path.read_text()
    path.write_text(json.dumps(json.loads(true_identity) | {"boot": "another"}))
    host.launcher.kill(ref)
    seen = host.see(ref)
    assert (seen.lost, seen.reason) == (True, HOST_RESTARTED)
    assert is_alive(pid)
    path.write_text(true_identity)
    (ref.directory / "lost.json").unlink()


def test_a_shim_that_dies_before_it_says_who_it_is_is_lost_and_stays_so(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "shim.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(local, "SHIM", broken)
    ref = host.run("sleep", "600")
    until(lambda: host.see(ref).lost)
    assert host.see(ref).reason == local.NOT_BEGUN
    monkeypatch.undo()
    host.start(host.spec("sleep", "600", number=1))
    assert host.see(ref).lost


def test_a_host_that_cannot_take_it_says_why(host: Host, tmp_path: Path) -> None:
    host.root.parent.mkdir(exist_ok=True)
    host.root.write_text("a file stands in the way")
    with pytest.raises(LaunchError, match="could not take launch 1"):
        host.run("true")
