"""./start.sh in a clone of its own, with a Python that installs nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAKE = Path(__file__).parent / "fakes/python_and_pip.py"
PROGRAMS = [
    "bash",
    "cat",
    "cut",
    "dirname",
    "env",
    "grep",
    "mktemp",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "tail",
]
PROGRAMS += ["touch", "tr"]


class Clone:
    """A fresh clone on a machine whose only Python is the fake one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        (self.folder / "requirements").mkdir(parents=True)
        shutil.copy(ROOT / "start.sh", self.folder)
        (self.folder / "requirements.txt").write_text("django\n")
        (self.folder / "requirements/dev.txt").write_text("pytest\n")
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name) or name)
        self.python = self.programs / "python3.11"
        self.python.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        self.python.chmod(0o755)
        self.log = folder / "calls"
        self.knobs = folder / "knobs"
        self.environ = {
            "PATH": str(self.programs),
            "FAKE_CALLS": str(self.log),
            "FAKE_PIP": str(self.knobs),
        }

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "start.sh"), *arguments],
            env=self.environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self) -> list[str]:
        """What the Pythons were asked to do since the last look, without the questions for their version."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith(("-c ", "--version"))]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_first_start_sets_up_everything_and_becomes_the_console(clone: Clone) -> None:
    done = clone.start("--bind", "127.0.0.1:7000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("serving --bind 127.0.0.1:7000\n")
    assert [call.rpartition("=")[2] for call in clone.calls()] == [
        "-m venv .venv",
        "requirements.txt",
        "-m instances.vllm.install",
        "manage.py serve --bind 127.0.0.1:7000",
    ]


def test_a_second_start_installs_nothing(clone: Clone) -> None:
    clone.start()
    clone.calls()
    assert clone.start().returncode == 0
    assert clone.calls() == ["-m instances.vllm.install", "manage.py serve"]


def test_changed_requirements_are_installed(clone: Clone) -> None:
    clone.start()
    clone.calls()
    (clone.folder / "requirements.txt").write_text("django>=5\n")
    clone.start()
    assert "requirements.txt" in clone.calls()[0]


def test_packages_that_were_cut_off_are_begun_anew(clone: Clone) -> None:
    clone.knobs.write_text("requirements.txt: [Errno -3] Temporary failure in name resolution\n")
    failed = clone.start()
    assert failed.returncode == 1
    assert "The package index could not be reached." in failed.stderr
    clone.knobs.unlink()
    clone.calls()
    assert clone.start().returncode == 0
    assert clone.calls()[0] == "-m venv .venv"


def test_the_console_starts_without_an_engine(clone: Clone) -> None:
    clone.environ["FAKE_INSTALL"] = "3"
    done = clone.start()
    assert done.returncode == 0
    assert "The console starts all the same." in done.stdout
    assert done.stdout.endswith("serving\n")


def test_ctrl_c_in_the_engines_installation_ends_the_start(clone: Clone) -> None:
    clone.environ["FAKE_INSTALL"] = "130"
    done = clone.start()
    assert done.returncode == 130
    assert "serving" not in done.stdout


def test_without_a_python_it_says_what_to_install(clone: Clone) -> None:
    clone.python.unlink()
    done = clone.start()
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "sudo apt-get install python3" in done.stderr


def test_prepare_does_not_start_and_dev_adds_the_packages_for_tests(clone: Clone) -> None:
    done = clone.start("--prepare", "--dev", "--no-engine")
    assert done.returncode == 0
    assert [call.rpartition("=")[2] for call in clone.calls()] == [
        "-m venv .venv",
        "requirements.txt",
        "requirements/dev.txt",
    ]


def test_it_writes_no_colours_where_nobody_looks(clone: Clone) -> None:
    clone.environ["TERM"] = "xterm"
    assert "\x1b" not in clone.start().stdout


def test_help_needs_nothing_at_all(clone: Clone) -> None:
    done = clone.start("--help")
    assert done.returncode == 0
    assert "LLMOPS_VLLM" in done.stdout
    assert clone.calls() == []


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skipped_test_fails_the_run_in_ci_alone(tmp_path: Path, ci: str, code: int) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_two.py").write_text(
        "import pytest\n\n\ndef test_one():\n    pass\n\n\ndef test_two():\n    pytest.skip('no reason')\n"
    )
    argv = [sys.executable, "-m", "pytest", "-p", "tests.no_skips", "--rootdir", str(tmp_path), str(tmp_path)]
    environ = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    assert ("test_two.py::test_two" in done.stdout) is bool(code)
