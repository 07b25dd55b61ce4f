from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Event, User
from instances.jobs import programs
from instances.jobs.services import cancel_job, request_job
from instances.launchers.memory import MemoryLauncher
from instances.models import Job, JobKind, JobState
from instances.supervisor.jobs import Jobs
from instances.vllm import engines

MODEL = "Qwen/Qwen3-8B"
ENGINE = engines.Engine(Path("/opt/vllm/bin/vllm"), "0.32.0+cpu", "cpu")


@pytest.fixture
def launcher(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryLauncher:
    settings.LLMOPS_DATA = tmp_path
    monkeypatch.setattr(programs, "_python_of", lambda engine: Path("/opt/vllm/bin/python3"))
    return MemoryLauncher()


@pytest.fixture
def jobs(launcher: MemoryLauncher) -> Jobs:
    return Jobs(launcher)


@pytest.fixture
def download(mia: User, launcher: MemoryLauncher) -> Callable[..., Job]:
    def ask(subject: str = MODEL, **more: Any) -> Job:
        return request_job(actor=mia, kind=JobKind.MODEL, subject=subject, **more)

    return ask


def tell(job: Job, **progress: Any) -> None:
    job.directory.mkdir(parents=True, exist_ok=True)
    programs.progress_file(job).write_text(json.dumps(progress))


def test_a_job_runs_its_program_and_is_done_when_that_ends_well(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job]
) -> None:
    job = download()
    assert jobs.step() == {job.pk}
    argv = launcher.started[0].argv
    assert argv[:3] == ("/opt/vllm/bin/python3", "-m", "instances.catalog.download") and MODEL in argv
    tell(job, text="Downloading", done=40, total=100)
    assert jobs.step() == {job.pk}
    job.refresh_from_db()
    assert (job.state, job.percent) == (JobState.RUNNING, 40)
    assert jobs.step() == set()
    launcher.end(job.pk)
    jobs.step()
    job.refresh_from_db()
    assert job.state == JobState.DONE and job.ended_at


def test_what_its_program_said_of_a_failure_is_kept(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job]
) -> None:
    job = download()
    jobs.step()
    tell(job, failed="The disk is full.", mend="Free 3 GB.")
    launcher.end(job.pk, code=1)
    jobs.step()
    job.refresh_from_db()
    assert (job.state, job.error, job.advice) == (JobState.FAILED, "The disk is full.", "Free 3 GB.")


def test_a_failure_without_words_shows_the_last_line_of_its_log(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job]
) -> None:
    job = download()
    jobs.step()
    launcher.say(job.pk, "Traceback (most recent call last):\nImportError: no hub client\n\n")
    launcher.end(job.pk, code=1)
    jobs.step()
    job.refresh_from_db()
    assert job.error == "It ended with exit code 1. ImportError: no hub client"


def test_the_same_subject_asked_for_twice_is_one_job(download: Callable[..., Job]) -> None:
    assert download().pk == download().pk
    assert Event.objects.filter(verb="asked for the download of").count() == 1


def test_a_cancelled_one_is_stopped_and_says_so_only_when_its_process_is_gone(
    jobs: Jobs, launcher: MemoryLauncher, mia: User, download: Callable[..., Job]
) -> None:
    job = download()
    jobs.step()
    launcher.stubborn.add(job.pk)
    cancel_job(actor=mia, job=job)
    jobs.step()
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    launcher.end(job.pk, code=None, signal=9)
    jobs.step()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_one_that_never_began_is_cancelled_without_a_process(
    jobs: Jobs, launcher: MemoryLauncher, mia: User, download: Callable[..., Job]
) -> None:
    job = download()
    cancel_job(actor=mia, job=job)
    jobs.step()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED and not launcher.started


def test_the_third_download_waits_for_the_first_two(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job]
) -> None:
    first, _second, third = (download(f"a/{name}") for name in "xyz")
    jobs.step()
    assert len(launcher.started) == 2
    launcher.end(first.pk)
    jobs.step()
    third.refresh_from_db()
    assert third.state == JobState.RUNNING


def test_a_new_supervisor_takes_up_what_runs(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job]
) -> None:
    job = download()
    jobs.step()
    later = Jobs(launcher)
    later.step()
    launcher.end(job.pk)
    later.step()
    job.refresh_from_db()
    assert job.state == JobState.DONE and len(launcher.started) == 1


def test_a_start_that_was_not_written_down_is_not_made_twice(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job]
) -> None:
    job = download()
    jobs.step()
    Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)  # as if it had been cut off before its write
    Jobs(launcher).step()
    assert len(launcher.started) == 1


def test_secrets_of_the_console_and_of_hubs_stand_in_no_command_line(
    jobs: Jobs,
    launcher: MemoryLauncher,
    mia: User,
    download: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from instances import tokens

    monkeypatch.setenv("SECRET_KEY", "canary-secret-key")
    tokens.keep(actor=mia, hub="huggingface", token="hf_canary-of-a-token")
    download()
    request_job(actor=mia, kind=JobKind.ENGINE, subject="0.31.0")
    jobs.step()
    model, engine = launcher.started
    assert model.env["HF_TOKEN"] == "hf_canary-of-a-token" and "HF_TOKEN" not in engine.env
    for spec in (model, engine):
        assert "canary" not in " ".join(spec.argv) and "canary-secret-key" not in spec.env.values()


def test_one_that_is_wanted_again_before_it_ended_has_a_successor(
    jobs: Jobs, launcher: MemoryLauncher, mia: User, download: Callable[..., Job]
) -> None:
    job = download(options={"revision": "main"})
    jobs.step()
    launcher.stubborn.add(job.pk)
    cancel_job(actor=mia, job=job)
    jobs.step()
    assert download() == job
    launcher.end(job.pk, code=None, signal=15)
    jobs.step()
    successor, first = Job.objects.all()
    assert (first.state, successor.state) == (JobState.CANCELLED, JobState.WAITING)
    assert (successor.subject, successor.options, successor.wanted) == (MODEL, {"revision": "main"}, True)


def test_a_broken_one_leaves_the_others_alone(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job], tmp_path: Path, settings: Any
) -> None:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path / "models"]
    path = tmp_path / "models" / "modelscope" / "a" / "b"
    broken, healthy = download(str(path)), download()
    path.parent.mkdir(parents=True)
    path.symlink_to(path)  # a loop
    jobs.step()
    broken.refresh_from_db()
    healthy.refresh_from_db()
    assert (broken.state, healthy.state) == (JobState.FAILED, JobState.RUNNING)


def test_a_surprise_of_one_is_its_failure_alone(
    jobs: Jobs, launcher: MemoryLauncher, download: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, healthy = download("a/b"), download()
    asked = programs.command_of
    odd = {broken.pk: "no JSON"}
    monkeypatch.setattr(
        programs, "command_of", lambda job: asked(job) if job.pk not in odd else int(odd[job.pk])
    )
    jobs.step()
    broken.refresh_from_db()
    healthy.refresh_from_db()
    assert "could not be looked after" in broken.error and healthy.state == JobState.RUNNING


def test_a_token_given_to_the_console_reaches_downloads_alone(
    download: Callable[..., Job], mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.setenv(name, "canary")
    engine = request_job(actor=mia, kind=JobKind.ENGINE, subject="0.31.0")
    assert "canary" in programs.environment_of(download()).values()
    assert "canary" not in programs.environment_of(engine).values()
