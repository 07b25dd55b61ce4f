from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from instances import tokens
from instances.models import HubToken, Job, JobKind, JobState
from instances.pages import Page
from instances.pushes import Feed, Reader
from tests.fakes.fake_hub import DEMO, FakeHub

CANARY = "hf_canaryOfAToken0123456789"
QWEN = "Qwen/Qwen3-0.6B"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", running.url)
        running.add(QWEN, {"config.json": b"{}"}, counts={"BF16": 596_049_920})
        running.add("meta-llama/Llama-3", {"config.json": b"{}"}, gated=True)
        yield running
    cache.clear()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Any) -> Path:
    """A model root with the demo's model in it, and an empty cache."""
    settings.LLMOPS_DATA = tmp_path
    settings.HF_CACHE = tmp_path / "hub"
    settings.LLMOPS_MODEL_ROOTS = [tmp_path / "models", tmp_path / "hub"]
    shutil.copytree(DEMO, tmp_path / "models" / "finetune")
    return tmp_path


def job(state: JobState = JobState.RUNNING, subject: str = QWEN, **facts: Any) -> Job:
    return Job.objects.create(kind=JobKind.MODEL, subject=subject, state=state, **facts)


# ---------------------------------------------------------------- on this machine


def test_what_is_here_is_listed_with_what_it_is_and_a_way_to_deploy_it(page: Client, folders: Path) -> None:
    text = page.get("/models/").content.decode()
    for said in ("finetune", "Qwen2ForCausalLM", "generates text", "1.1M", "bfloat16", "2 MB"):
        assert said in text
    assert f"/deploy/?model={folders}/models/finetune" in text


def test_half_a_model_says_what_it_lacks_and_can_be_gone_on_with(page: Client, folders: Path) -> None:
    snapshot = folders / "hub" / "models--a--half" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    text = page.get("/models/").content.decode()
    assert "It lacks weights." in text and 'name="model" value="a/half"' in text
    assert "?model=a/half" not in text


def test_a_model_of_this_machine_or_of_a_hub_fills_the_deploy_form(page: Client, folders: Path) -> None:
    text = page.get("/deploy/", {"model": "Qwen/Qwen3-0.6B"}).content.decode()
    assert 'value="Qwen/Qwen3-0.6B"' in text and 'value="qwen3-0.6b"' in text
    names = page.get("/models/names/", {"model": "fine"}).content.decode()
    assert f'<option value="{folders}/models/finetune">' in names


# ---------------------------------------------------------------- on the hubs


def test_a_search_shows_what_a_hub_has(page: Client, hub: FakeHub) -> None:
    found = page.get("/models/", {"q": "qwen3"}, headers={"HX-Target": "found"}).content.decode()
    assert found.lstrip().startswith('<div id="found">') and QWEN in found and "596M" in found
    assert f'name="model" value="{QWEN}"' in found and f"?model={QWEN}" in found
    assert "gated" in page.get("/models/", {"q": "llama"}).content.decode()


def test_modelscope_is_the_second_source(page: Client, hub: FakeHub, folders: Path) -> None:
    query = {"q": "qwen3", "source": "modelscope"}
    found = page.get("/models/", query, headers={"HX-Target": "found"}).content.decode()
    assert f'value="{folders}/models/modelscope/{QWEN}"' in found


def test_a_question_is_asked_once_while_people_type(page: Client, hub: FakeHub) -> None:
    for _ in range(3):
        page.get("/models/", {"q": "qwen3"})
    page.get("/models/", {"q": "q"})  # too short for one
    assert len(hub.asked) == 1


def test_a_hub_that_is_down_is_a_sentence_and_the_rest_of_the_page_stays(page: Client, hub: FakeHub) -> None:
    hub.status = 503
    text = page.get("/models/", {"q": "qwen3"}).content.decode()
    assert "The Hugging Face hub failed to answer (503)." in text and "finetune" in text


def test_the_kept_token_goes_with_a_search_and_to_no_page(page: Client, mia: User, hub: FakeHub) -> None:
    hub.token = CANARY
    tokens.keep(actor=mia, hub="huggingface", token=CANARY)
    assert CANARY not in page.get("/models/", {"q": "qwen3"}).content.decode()
    assert hub.tokens == [CANARY]


# ---------------------------------------------------------------- downloads


def test_a_download_is_asked_for_once_and_shown(page: Client, mia: User) -> None:
    for _ in range(2):
        answer = page.post("/models/download/", {"model": QWEN}, headers={"HX-Request": "true"})
        assert answer.status_code == 200 and QWEN in answer.content.decode()
    (asked,) = Job.objects.all()
    assert (asked.kind, asked.subject, asked.asked_by) == (JobKind.MODEL, QWEN, mia)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("", "Say which model"),
        ("/etc/passwd", "outside the folders for models"),
        ("a b/c d", "neither a hub name"),
        ("{root}/finetune", "nothing to fetch"),
        ("/x\0y", "is no path that can be followed"),
    ],
)
def test_what_cannot_be_fetched_is_refused(page: Client, folders: Path, model: str, words: str) -> None:
    model = model.replace("{root}", str(folders / "models"))
    answer = page.post("/models/download/", {"model": model}, headers={"HX-Request": "true"})
    assert answer.status_code == 422 and words in answer.content.decode()
    assert not Job.objects.exists()


def test_a_download_under_way_says_how_far_it_is(page: Client) -> None:
    progress = {"text": "", "done": 1.2e9, "total": 16.4e9, "speed": 85e6, "eta": 178.8}
    job(progress=progress)
    text = page.get("/models/").content.decode()
    for said in ("1.2 GB of 16.4 GB", "85 MB/s", "2 min 58 s left", 'value="7"', "Cancel"):
        assert said in text


def test_one_that_failed_says_why_and_can_be_gone_on_with(page: Client) -> None:
    job(JobState.FAILED, error="The disk under /x is full.", advice="Free some space.")
    text = page.get("/models/").content.decode()
    assert "The disk under /x is full." in text and "Free some space." in text and "Go on" in text


def test_cancelling_asks_for_its_end(page: Client) -> None:
    running = job()
    answer = page.post(f"/models/downloads/{running.pk}/cancel/", headers={"HX-Request": "true"})
    running.refresh_from_db()
    assert not running.wanted and "Cancelling" in answer.content.decode()


def test_an_installation_is_not_cancelled_here(as_jonas: Client) -> None:
    other = Job.objects.create(kind=JobKind.ENGINE, subject="0.31.0")
    assert as_jonas.post(f"/models/downloads/{other.pk}/cancel/").status_code == 404


def test_an_open_page_is_pushed_the_progress_and_the_disk_only_when_something_ended(mia: User) -> None:
    running = job(progress={"text": "", "done": 10, "total": 100})
    feed = Feed(Page(kind="models"), Reader("en", "", ""))
    first = "".join(feed.changed())
    assert 'id="downloads"' in first and 'id="here"' in first
    running.progress = {"text": "", "done": 20, "total": 100}
    running.save()
    second = "".join(feed.changed())
    assert 'value="20"' in second and 'id="here"' not in second
    assert feed.changed() == []
    running.state = JobState.DONE
    running.save()
    assert 'id="here"' in "".join(feed.changed())


# ---------------------------------------------------------------- tokens


def test_a_token_is_taken_and_never_shown(page: Client) -> None:
    text = page.post(
        "/models/token/huggingface/", {"token": CANARY}, headers={"HX-Request": "true"}
    ).content.decode()
    assert "Set by mia" in text and CANARY not in text + page.get("/models/").content.decode()
    assert tokens.value("huggingface") == CANARY
    page.post("/models/token/huggingface/", {"remove": "true"})
    assert not HubToken.objects.exists()


def test_what_is_no_token_gets_its_sentence_in_place_and_is_not_echoed(page: Client) -> None:
    answer = page.post("/models/token/huggingface/", {"token": "a secret"}, headers={"HX-Request": "true"})
    text = answer.content.decode()
    assert answer.status_code == 422 and "A token has 8 to 200" in text and "a secret" not in text


def test_tokens_are_for_those_who_may(as_jonas: Client) -> None:
    assert as_jonas.post("/models/token/huggingface/", {"token": CANARY}).status_code == 403
    text = as_jonas.get("/models/").content.decode()
    assert "An administrator sets it." in text
    assert not HubToken.objects.exists()


# ---------------------------------------------------------------- the same for programs


def ask(page: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = page.generic(method, path, json.dumps(body or {}), content_type="application/json")
    return answer.status_code, answer.json()


def test_programs_list_what_is_here_and_search(page: Client, hub: FakeHub, folders: Path) -> None:
    status, (found,) = ask(page, "GET", "/api/catalog/models")
    assert status == 200 and found["model"] == f"{folders}/models/finetune"
    assert (found["task"], found["missing"], found["where"]) == ("generate", "", "root")
    status, (hit,) = ask(page, "GET", "/api/catalog/search?q=qwen3")
    assert status == 200 and hit["model"] == QWEN and hit["here"] is False
    hub.status = 503
    status, answer = ask(page, "GET", "/api/catalog/search?q=else")
    assert status == 502 and "failed to answer" in answer["detail"]


def test_programs_fetch_follow_and_cancel(page: Client, folders: Path) -> None:
    status, asked = ask(page, "POST", "/api/catalog/downloads", {"model": QWEN, "revision": "main"})
    assert (status, asked["state"], asked["subject"]) == (202, "waiting", QWEN)
    assert Job.objects.get().options == {"revision": "main"}
    assert ask(page, "GET", f"/api/jobs/{asked['id']}")[1]["id"] == asked["id"]
    assert ask(page, "DELETE", f"/api/jobs/{asked['id']}")[0] == 202
    assert not Job.objects.get().wanted
    status, other = ask(page, "POST", "/api/catalog/downloads", {"model": QWEN, "source": "modelscope"})
    assert (status, other["subject"]) == (202, f"{folders}/models/modelscope/{QWEN}")
    assert len(ask(page, "GET", "/api/jobs")[1]) == 2


def test_programs_are_told_what_is_wrong(page: Client, as_jonas: Client) -> None:
    status, answer = ask(page, "POST", "/api/catalog/downloads", {"model": "/etc/passwd"})
    assert status == 422 and answer["detail"][0]["field"] == "model"
    status, answer = ask(page, "POST", "/api/catalog/downloads", {"model": QWEN, "revision": "../x"})
    assert status == 422 and "branch, a tag or a commit" in answer["detail"][0]["message"]
    other = Job.objects.create(kind=JobKind.ENGINE, subject="0.31.0")
    assert ask(as_jonas, "DELETE", f"/api/jobs/{other.pk}")[0] == 403
    other.refresh_from_db()
    assert other.wanted


@pytest.mark.parametrize("model", ["~nosuchuser/x", "{root}/loop", "/x\0y", "owner/na\nme", "a" * 600])
def test_a_name_that_cannot_be_followed_is_a_sentence_at_every_door(
    page: Client, folders: Path, engine: Any, model: str
) -> None:
    (folders / "models" / "loop").symlink_to(folders / "models" / "loop")
    model = model.replace("{root}", str(folders / "models"))
    body = {"name": "x", "model": model}
    assert page.post("/models/download/", {"model": model}, headers={"HX-Request": "true"}).status_code in (
        200,
        422,
    )
    assert not Job.objects.exists()
    assert page.get("/deploy/", {"model": model}).status_code == 200
    assert page.post("/deploy/command/", body).status_code == 200
    assert page.post("/deploy/", body).status_code == 422
    assert ask(page, "POST", "/api/models/deploy", body)[0] == 422
    assert ask(page, "POST", "/api/models/fit", body)[0] == 422
