from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import User
from instances import doctor
from instances.launchers import processes
from instances.states import State
from instances.vllm import engines
from monitoring.gpu import NO_DRIVER, GpuProcess, GpuReading, GpuReadings
from monitoring.nvml import GpuReader
from tests.console import FAKE_VLLM

from .made import in_state, make_instance

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.LLMOPS_DATA = tmp_path
    monkeypatch.setattr(engines, "find", lambda *_: engines.Engine(FAKE_VLLM, "0.32.0+cpu", "cpu"))
    return tmp_path


def found(name: str) -> list[doctor.Finding]:
    return list(doctor.CHECKS[name]())


def words(name: str) -> str:
    return " ".join(f"{one.mark}: {one.sentence} {one.advice}" for one in found(name))


def test_an_engine_that_answers_is_fine_and_one_that_does_not_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "ok: vLLM 0.32.0+cpu for cpu answers" in words("engine")
    broken = tmp_path / "vllm"
    broken.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(engines, "find", lambda *_: engines.Engine(broken, "1", "cpu"))
    assert "bad:" in words("engine") and "no such library" in words("engine")
    monkeypatch.setattr(engines, "find", lambda *_: engines.Missing("No engine.", "Run ./start.sh."))
    assert words("engine") == "bad: No engine. Run ./start.sh."


def sees(monkeypatch: pytest.MonkeyPatch, *gpus: GpuReading, reason: str = "") -> None:
    read = GpuReadings(list(gpus), reason, datetime.now(UTC))
    monkeypatch.setattr(GpuReader, "read", lambda reader: read)


def card(**more: Any) -> GpuReading:
    return GpuReading(0, "GPU-1", "H100", memory_used=2**30, memory_total=80 * 2**30, **more)


def test_a_strange_process_on_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch, card(processes=(GpuProcess(os.getpid(), 2**30),)))
    assert "ok: GPU 0 H100: 79.0 GiB of 80.0 GiB free." in words("GPU")
    assert "warn: GPU 0 is also used by " in words("GPU") and f"process {os.getpid()}" in words("GPU")


def test_a_gpu_that_is_hot_or_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch, card(throttled="Slowed down by heat.", throttle_bad=True))
    assert "warn: GPU 0 H100: Slowed down by heat. Look after its cooling" in words("GPU")
    sees(monkeypatch, card(throttled="At its power limit."))
    assert words("GPU").startswith("ok: ") and "limit" not in words("GPU")
    lost = "The GPU is lost. It needs a reset or a reboot."
    sees(monkeypatch, GpuReading(1, "GPU-2", "H100", error=lost), GpuReading(2, "", "", error=lost), card())
    assert f"bad: GPU 1 H100: {lost} No model can use it until then. bad: GPU 2: {lost}" in words("GPU")
    assert words("GPU").count("bad: ") == 2 and "ok: GPU 0 H100" in words("GPU")


def test_a_driver_out_of_reach_is_told_and_one_that_is_not_there_is_fine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differ = "The NVIDIA driver and its library differ. Reboot the machine."
    sees(monkeypatch, reason=differ)
    assert f"bad: {differ} Until then" in words("GPU")
    sees(monkeypatch, reason=NO_DRIVER)
    assert words("GPU") == f"ok: {NO_DRIVER} "


def test_a_port_that_somebody_holds_is_named(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.LLMOPS_BIND = f"127.0.0.1:{port}"
        settings.LAUNCH_PORTS = range(port, port + 10)
        assert f"bad: Port {port} is held by" in words("ports") and str(os.getpid()) in words("ports")
        assert "ok: 9 of 10 ports for engines are free" in words("ports")
    assert f"ok: Port {port}, where the console belongs, is free." in words("ports")


def test_the_lock_says_who_supervises(mia: User, data: Path) -> None:
    assert words("supervisor") == "ok: Nobody supervises, and nothing should run. "
    make_instance(mia, "tiny")
    assert "bad: Nobody supervises, although these should run: tiny." in words("supervisor")
    with (data / "supervisor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert f"process {os.getpid()}" in words("supervisor") and words("supervisor").startswith("ok:")
    assert not (data / "reconciled").exists()  # it only looked


def test_rows_without_a_process_and_processes_without_a_row_are_told(mia: User, data: Path) -> None:
    instance = in_state(mia, State.RUNNING)
    launch = instance.launches.get()
    launch.directory.mkdir(parents=True)
    assert "warn: tiny is running in the database, but no process of it is there." in words("leftovers")
    stray = data / "launches" / "4711"
    stray.mkdir()
    (stray / "spec.json").write_text("{}")
    me = processes.look(os.getpid())
    assert me is not None
    identity = {"pid": me.pid, "start": me.start}
    facts = {"boot": processes.boot_id(), "shim": identity, "engine": None, "pipe": None}
    (stray / "shim.json").write_text(json.dumps(facts))
    assert "warn: Launch 4711 runs, but the database does not know it." in words("leftovers")
    assert {path.name for path in stray.iterdir()} == {"spec.json", "shim.json"}


def test_a_full_disk_and_low_limits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(one.mark == "ok" for one in found("disk") if "free" in one.sentence)
    monkeypatch.setattr(doctor, "FULL_DISK", 2**60)
    assert "bad: " in words("disk") and "Free some space" in words("disk")
    monkeypatch.setattr(doctor, "LOW_FILES", 2**40)
    assert "ulimit -n" in words("limits")


def test_redis_is_asked_where_there_should_be_one(settings: Any) -> None:
    assert words("Redis").startswith("ok: No REDIS_URL")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert words("Redis").startswith("bad: Redis does not answer")


def test_a_check_that_breaks_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Any:
        raise OSError("no /proc here")

    monkeypatch.setattr(doctor, "CHECKS", {"engine": broken, "database": doctor.CHECKS["database"]})
    with pytest.raises(SystemExit) as ended:
        call_command("doctor")
    said = capsys.readouterr().out
    assert ended.value.code == 1 and "✗ engine: This could not be looked at: OSError('no /proc here')" in said
    assert "✓ database: SQLite" in said and "1 fine, 0 to know, 1 wrong." in said
    monkeypatch.setattr(doctor, "CHECKS", {"database": doctor.CHECKS["database"]})
    call_command("doctor")
