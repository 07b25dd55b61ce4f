"""Rows 16, 17, 19, 21 and 22: what the machine does to us."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from tests.console import Console, eventually
from tests.faults.engines import (
    all_gone,
    answers,
    ask,
    deploy,
    directory,
    identity,
    kill,
    launches,
    log_texts,
    page,
    running,
    tree,
)

MIB = 2**20
roomy, strictly = pytest.mark.xdist_group("roomy"), pytest.mark.xdist_group("strict")


# ------------------------------------------------------------ row 16


@roomy
def test_row_16_a_flood_stays_under_the_cap_and_the_console_and_its_page_live(host: Console) -> None:
    instance_id, launch = running(host, "flood", knobs={"LOG_FLOOD": "500"})
    console = psutil.Process(host.process.pid if host.process else 0)
    shim = psutil.Process(identity(host, launch)["shim"]["pid"])
    page(host, f"/instances/{instance_id}/")  # or its templates would be counted as well
    before = most = console.memory_info().rss
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        most = max(most, console.memory_info().rss)
        text = page(host, f"/instances/{instance_id}/")
        assert "Running" in text
        if LAST_OF_FLOOD in newest_text(host, launch):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the flood did not end")
    on_disk = sum(file.stat().st_size for file in directory(host, launch).glob("log*"))
    assert on_disk <= 257 * MIB
    assert most - before < 30 * MIB and shim.memory_info().rss < 30 * MIB
    ask(host, instance_id, "stop")
    host.reaches(instance_id, "stopped")


LAST_OF_FLOOD = f"{500 * 8000 - 1:012d}"


def newest_text(console: Console, launch: dict[str, object]) -> str:
    with suppress(FileNotFoundError), (directory(console, launch) / "log").open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        return file.read().decode(errors="replace")
    return ""


HOSTILE = (
    b"\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\\n"
    b"bad \xff\xfe utf-8\nnul \0 here\nprogress 1%\rprogress 100%\n"
    b"<script>alert(1)</script>\n" + "bidi \u202eevil\u202c\n".encode() + b"x" * 10 * MIB + b"\n"
)


@roomy
def test_row_16_whatever_is_printed_the_page_is_inert(host: Console, tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE)
    instance_id, _ = running(host, "hostile", knobs={"LOG_FILE": str(path)})
    texts = log_texts(host, instance_id)
    assert any(text == "red link" for text in texts) and "progress 100%" in texts
    assert max(map(len, texts)) < 20_000
    text = page(host, f"/instances/{instance_id}/logs/")
    assert "<script>alert" not in text and "\u202e" not in text and "\x1b" not in text
    ask(host, instance_id, "stop")


# ------------------------------------------------------------ row 17


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "data" / "launches"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_row_17_a_full_disk_leaves_the_engine_alone_and_says_so_once(small_disk: Path) -> None:
    console = Console(small_disk.parent)
    try:
        console.start()
        console.make_administrator()
        fill(small_disk, leave=2 * MIB)
        instance_id, launch = running(console, "a", knobs={"LOG_FLOOD": "20"})
        warned = eventually(lambda: disk_warnings(console, instance_id), what="the page warns")
        assert warned == 1 and answers(launch)
        assert console.instance(instance_id)["launch"]["state"] == "running"
        eventually(
            lambda: psutil.Process(launch["pid"]).num_threads() == 1, within=120, what="the flood ends"
        )
        (small_disk / "ballast").unlink()
        eventually(lambda: disk_warnings(console, instance_id) == 0, what="the warning goes")
        marker = eventually(lambda: log_texts(console, instance_id, search="the disk was full"))
        assert len(marker) == 1 and "are missing here" in marker[0]
        fill(small_disk)
        kill(launch["pid"])
        ended = console.reaches(instance_id, "error")["launch"]
        assert ended["exit_code"] == -signal.SIGKILL  # recorded though there is no room
        ask(console, instance_id, "stop")
    finally:
        console.close()


def disk_warnings(console: Console, instance_id: int) -> int:
    return page(console, f"/instances/{instance_id}/").count("The disk under its log is full")


def fill(folder: Path, leave: int = 0) -> None:
    """Take the room there, but for so many bytes."""
    disk = os.statvfs(folder)
    with suppress(OSError), (folder / "ballast").open("wb") as file:
        for _ in range((disk.f_bavail * disk.f_frsize - leave) // 65536 + 1):
            file.write(b"\0" * 65536)
            file.flush()


# ------------------------------------------------------------ row 19


def test_row_19_when_the_clock_jumps_nothing_restarts_and_nothing_expires(tmp_path: Path) -> None:
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    console = Console(
        tmp_path / "data",
        LD_PRELOAD=str(library),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    try:
        console.start()
        console.make_administrator()
        instance_id, launch = running(console, "a")
        for jump in ("+1h", "-1h"):
            offset.write_text("+0\n")
            time.sleep(2)  # the library reads the file once a second, and nothing shows when
            slow_id = deploy(console, f"slow{jump[0] == '-'}".lower(), knobs={"START_DELAY": "6"})
            loops_id = deploy(console, f"loops{jump[0] == '-'}".lower(), knobs={"EXIT_CODE": "1"})
            console.reaches(loops_id, "error")
            failed_at = time.monotonic()
            offset.write_text(f"{jump}\n")
            assert console.reaches(slow_id, "running")["launch"]["error"] == ""
            second_launch(console, loops_id)
            assert 3 < time.monotonic() - failed_at < 600  # ten seconds, give or take a quarter, and no hour
            for pk in (loops_id, slow_id):
                ask(console, pk, "stop")
        still = console.instance(instance_id)["launch"]
        assert (still["id"], still["pid"], still["state"]) == (launch["id"], launch["pid"], "running")
        eventually(console.is_ready)
    finally:
        del console.environment["LD_PRELOAD"]
        console.close()


def second_launch(console: Console, instance_id: int) -> None:
    eventually(lambda: len(launches(console, instance_id)) == 2, within=120, what="the second attempt")


# ------------------------------------------------------------ row 21


@strictly
def test_row_21_after_a_reboot_what_should_run_starts_again_one_after_another(strict: Console) -> None:
    policies = {"a": "on-failure", "b": "never", "c": "on-failure"}
    ids = {name: deploy(strict, name, restart_policy=policy) for name, policy in policies.items()}
    before = {name: strict.reaches(pk, "running")["launch"] for name, pk in ids.items()}
    idle = deploy(strict, "idle", start=False)
    strict.end(signal.SIGKILL)
    for launch in before.values():
        reboot(strict, launch)
    strict.start()
    for pk in ids.values():
        after = strict.reaches(pk, "running")
        assert after["restart"] is None
        again, lost = launches(strict, pk)
        assert again["id"] == after["launch"]["id"]
        assert lost["state"] == "error" and "host was restarted" in lost["error"]
    assert strict.instance(idle)["launch"] is None
    found = [strict.instance(pk)["launch"] for pk in ids.values()]
    starts = sorted((launch["started_at"], launch["ready_at"]) for launch in found)
    assert all(ready <= begun for (_, ready), (begun, _) in pairwise(starts))


def reboot(console: Console, launch: dict[str, object]) -> None:
    """As the machine leaves it: every process gone, and a record of another boot."""
    path = directory(console, launch) / "shim.json"
    processes = tree(console, launch)
    for process in processes:
        kill(process)
    all_gone(processes)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "an earlier one"}))


# ------------------------------------------------------------ row 22


@strictly
def test_row_22_without_file_descriptors_nothing_is_lost_and_it_recovers(strict: Console) -> None:
    keeps_id, keeps = running(strict, "keeps")
    assert strict.process is not None
    pid = strict.process.pid
    instance_id = deploy(strict, "a", start=False)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    said = strict.output.count("Too many open files")
    ask(strict, instance_id, "start")

    def starves() -> bool:
        used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used - 2, hard))
        return strict.output.count("Too many open files") > said

    eventually(starves, what="it says what is missing")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    strict.reaches(instance_id, "running")
    still = strict.instance(keeps_id)["launch"]
    assert (still["pid"], still["state"]) == (keeps["pid"], "running")


@strictly
def test_row_22_an_engine_without_room_for_threads_is_a_clear_error_and_it_recovers(
    strict: Console, engine_command: Path
) -> None:
    """Root has no limit of processes, so the engine only says what it says then."""
    fake = Path(__file__).parents[1] / "fakes" / "vllm"
    engine_command.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = serve ]; then echo "RuntimeError: can\'t start new thread"; exit 1; fi\n'
        f'exec "{sys.executable}" "{fake}" "$@"\n'
    )
    engine_command.chmod(0o700)
    instance_id = deploy(strict, "a")
    found = strict.reaches(instance_id, "error")
    assert "processes or threads" in found["launch"]["error"] and found["restart"]["attempt"] == 1
    engine_command.unlink()
    engine_command.symlink_to(fake)
    strict.reaches(instance_id, "running")
