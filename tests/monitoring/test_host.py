import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from monitoring import host
from monitoring.host import HostReader, limited_memory
from monitoring.sampler import Readings

CPU_TIMES = type(psutil.cpu_times())


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """A processor whose clock the test turns: seconds busy, seconds idle."""
    spent = {"busy": 0.0, "idle": 0.0}

    def cpu_times(percpu: bool = False) -> object:
        fields = dict.fromkeys(CPU_TIMES._fields, 0.0)
        # A guest's time is in `user` as well: counted twice it would make us busier than we are.
        times = CPU_TIMES(**fields | {"user": spent["busy"], "guest": spent["busy"], "idle": spent["idle"]})
        return [times] if percpu else times

    def spend(busy: float, idle: float) -> None:
        spent["busy"] += busy
        spent["idle"] += idle

    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    return spend


def test_it_reads_this_machine(tmp_path: Path) -> None:
    reading = HostReader(tmp_path).read()
    assert reading.threads == psutil.cpu_count()
    assert 0 < reading.memory_used < reading.memory_total
    assert reading.disk_total is not None and reading.disk_free is not None
    assert 0 < reading.disk_free < reading.disk_total
    assert reading.load is not None and reading.load >= 0
    assert reading.console_rss == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert reading.at.utcoffset() is not None


def test_it_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError("a reading slept")

    monkeypatch.setattr(time, "sleep", refuse)
    HostReader(tmp_path).read()


def test_the_processor_is_measured_since_the_last_reading(
    tmp_path: Path, processor: Callable[[float, float], None]
) -> None:
    reader = HostReader(tmp_path)
    assert reader.read().cpu_percent is None  # no time has passed: not known is not 0
    processor(3, 1)
    assert reader.read().cpu_percent == 75
    assert reader.read().cpu_percent == 75  # no tick since
    processor(0, 10)
    assert reader.read().cpu_percent == 0


def test_a_data_folder_that_is_gone_leaves_the_rest(tmp_path: Path) -> None:
    reading = HostReader(tmp_path / "gone").read()
    assert (reading.disk_free, reading.disk_percent) == (None, None)
    assert reading.memory_total > 0


def test_disk_percent_counts_as_df_does() -> None:
    reading = HostReader(Path("/")).read()
    assert reading.disk_used is not None and reading.disk_free is not None
    assert reading.disk_percent == pytest.approx(
        100 * reading.disk_used / (reading.disk_used + reading.disk_free), abs=0.1
    )


def _group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_a_containers_limit_counts_as_the_memory(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    stat = "anon 100\ninactive_file 300"
    _group(tmp_path / "fs", memory__max=2**20, memory__current=1000, memory__stat=stat)
    reading = HostReader(tmp_path, (), tmp_path / "fs", own).read()
    assert (reading.memory_used, reading.memory_total) == (700, 2**20)


def test_a_limit_above_the_machines_memory_does_not_count(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    _group(tmp_path / "fs", memory__max=2**60, memory__current=1000, memory__stat="")
    total = HostReader(tmp_path, (), tmp_path / "fs", own).read().memory_total
    assert total == psutil.virtual_memory().total


def test_the_tightest_group_above_us_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/console.slice/console.service\n")
    _group(tmp_path / "fs" / "console.slice", memory__max=5000, memory__current=40, memory__stat="")
    service = tmp_path / "fs" / "console.slice" / "console.service"
    _group(service, memory__max="max", memory__current=30, memory__stat="")
    assert limited_memory(tmp_path / "fs", own) == (40, 5000)


def test_version_1_of_control_groups_is_read_too(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("9:name=systemd:/\n4:memory:/docker/0c64\n0::/\n")
    _group(
        tmp_path / "fs" / "memory",  # inside a container the outer path is not there
        memory__limit_in_bytes=5000,
        memory__usage_in_bytes=400,
        memory__stat="inactive_file 1\ntotal_inactive_file 100",
    )
    assert limited_memory(tmp_path / "fs", own) == (300, 5000)


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert limited_memory(tmp_path, tmp_path / "none") is None


def test_the_api_gets_cpu_memory_and_disk(tmp_path: Path) -> None:
    answer = HostReader(tmp_path).read().as_json()
    assert set(answer) == {"cpu", "memory", "disk"}
    assert set(answer["cpu"]) == {"percent", "threads", "load_1min", "per_thread_percent"}
    assert {"used_bytes", "total_bytes", "percent"} <= set(answer["memory"])
    assert set(answer["disk"]) == {"used_bytes", "free_bytes", "total_bytes", "percent", "models"}
    json.dumps(answer)


def test_a_reading_survives_a_message(tmp_path: Path) -> None:
    reading = HostReader(tmp_path).read()
    text = Readings(reading, None, {}, reading.at).to_text()
    assert Readings.from_text(text).host == reading


def test_each_thread_has_a_share_of_its_own(tmp_path: Path) -> None:
    reader = HostReader(tmp_path)
    until = time.monotonic() + 20
    while not (cores := reader.read().cores) and time.monotonic() < until:
        time.sleep(0.02)
    assert len(cores) == psutil.cpu_count()
    assert all(0 <= share <= 100 for share in cores)


def test_a_disk_of_models_is_shown_once_and_not_when_it_is_the_data_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = {tmp_path: 1, tmp_path / "same": 1, tmp_path / "big": 2, tmp_path / "big2": 2}
    monkeypatch.setattr(host, "_device", devices.get)
    for folder in devices:
        folder.mkdir(exist_ok=True)
    (disk,) = HostReader(tmp_path, [*devices, tmp_path / "missing"]).read().model_disks
    usage = shutil.disk_usage(tmp_path)
    assert (disk.path, disk.total) == (str(tmp_path / "big"), usage.total)
    assert not HostReader(tmp_path, [tmp_path / "same"]).read().model_disks
