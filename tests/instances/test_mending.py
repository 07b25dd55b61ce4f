from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from instances.cards import Card
from instances.mending import button, done, mended
from instances.models import Instance, Launch
from instances.states import State

from .made import in_state, make_instance, make_launch

SHORTER = {"max_model_len": 34688}


def test_a_change_is_laid_over_key_by_key() -> None:
    body = {"model": "a/b", "port": 9000, "args": {"seed": 7, "swap-space": 4}, "env": {"A": "1"}}
    change = {"port": None, "dtype": "float16", "args": {"swap_space": None, "enforce-eager": True}}
    assert mended(body, change) == {
        "model": "a/b",
        "dtype": "float16",
        "args": {"seed": 7, "enforce-eager": True},
        "env": {"A": "1"},
    }
    assert body["args"] == {"seed": 7, "swap-space": 4}


def test_what_is_not_there_can_be_added_and_taken_out() -> None:
    assert mended({}, {"args": {"x": None}, "env": {"B": "2"}, "quantization": None}) == {
        "args": {},
        "env": {"B": "2"},
    }


@pytest.mark.parametrize(
    ("change", "label", "words"),
    [
        (SHORTER, "Set the context length to 34,688", "Context length set to 34,688"),
        ({"dtype": "float16"}, "Set the data type to float16", "Data type set to float16"),
        (
            {"gpu_memory_utilization": 0.21},
            "Set the share of GPU memory to 0.21",
            "Share of GPU memory set to 0.21",
        ),
        ({"port": None}, "Take another port", "Port set to automatic"),
        ({"quantization": None}, "Set the quantization to automatic", "Quantization set to automatic"),
        ({"trust_remote_code": True}, "Allow remote code", "Remote code allowed"),
        ({"args": {"enforce-eager": True}}, "Add --enforce-eager", "--enforce-eager added"),
        ({"args": {"foo": None}}, "Take --foo out", "--foo taken out"),
        ({"args": {"mm": {"image": 4}}}, "Correct --mm", "--mm corrected"),
        (
            {"env": {"NCCL_P2P_DISABLE": "1"}},
            "Set NCCL_P2P_DISABLE to 1",
            "NCCL_P2P_DISABLE set to 1",
        ),
        (
            {"dtype": "float16", "port": None},
            "Change it and try again",
            "Data type set to float16, port set to automatic",
        ),
        ({}, "", ""),
    ],
)
def test_a_change_is_said_in_words(change: dict[str, Any], label: str, words: str) -> None:
    assert button(change) == label
    assert done(change) == words


def failed(mia: User, change: dict[str, Any] | None = None, **config: Any) -> tuple[Instance, Launch]:
    instance = make_instance(mia, **config)
    facts = {"change": change, "error": "The context is too long.", "advice": "Shorten it."}
    return instance, make_launch(instance, State.ERROR, **facts)


@pytest.mark.usefixtures("engine")
def test_the_form_opens_with_the_change_made(page: Client, mia: User) -> None:
    instance, launch = failed(mia, SHORTER, max_model_len=262144, args={"seed": 7})
    answer = page.get("/deploy/", {"from": instance.pk, "mend": launch.pk})
    form, text = answer.context["form"], answer.content.decode()
    assert form["max_model_len"].value() == 34688
    assert form["args"].value() == {"seed": 7}
    assert "Context length set to 34,688, as launch 1&#x27;s failure advises." in text
    assert text.count('data-changed="true"') == 1
    assert "Changed as advised." in text
    instance.refresh_from_db()
    assert instance.config["max_model_len"] == 262144


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("mend", ["999", "x", "other", "none"])
def test_without_such_a_change_it_is_the_plain_form(page: Client, mia: User, mend: str) -> None:
    instance, launch = failed(mia, None, max_model_len=262144)
    other, others = make_instance(mia, "other"), "other"
    theirs = make_launch(other, State.ERROR, change=SHORTER)
    asked = {others: str(theirs.pk), "none": str(launch.pk)}.get(mend, mend)
    answer = page.get(f"/deploy/?from={instance.pk}&mend={asked}")
    assert answer.status_code == 200
    assert answer.context["form"]["max_model_len"].value() == 262144
    assert "data-changed" not in answer.content.decode()


@pytest.mark.usefixtures("engine")
def test_a_change_that_is_deployed_is_a_new_revision(page: Client, mia: User) -> None:
    instance, launch = failed(mia, SHORTER, max_model_len=262144)
    address = f"/deploy/?from={instance.pk}&mend={launch.pk}"
    form = page.get(address).context["form"]
    fields = {name: form[name].value() or "" for name in form.fields if name != "trust_remote_code"}
    assert page.post(f"/deploy/?from={instance.pk}", {**fields, "start": "false"}).status_code == 302
    instance.refresh_from_db()
    assert instance.config["max_model_len"] == 34688


@pytest.mark.usefixtures("engine")
def test_every_page_of_the_failure_leads_to_the_change(page: Client, mia: User) -> None:
    instance, launch = failed(mia, SHORTER)
    way = f'href="/deploy/?from={instance.pk}&amp;mend={launch.pk}"'
    for address in ("/", f"/instances/{instance.pk}/", f"/instances/{instance.pk}/launches/{launch.pk}/"):
        text = page.get(address).content.decode()
        assert way in text and "Set the context length to 34,688" in text, address


@pytest.mark.usefixtures("engine")
def test_without_a_change_the_button_opens_the_form_as_it_is(page: Client, mia: User) -> None:
    instance, _ = failed(mia)
    text = page.get(f"/instances/{instance.pk}/").content.decode()
    assert "mend=" not in text and "Edit and try again" in text


@pytest.mark.usefixtures("engine")
def test_the_evidence_leads_to_its_place_in_the_log(page: Client, mia: User) -> None:
    instance = make_instance(mia)
    launch = make_launch(instance, State.ERROR, evidence="ValueError: x", evidence_at=123456)
    text = page.get(f"/instances/{instance.pk}/").content.decode()
    assert f"/instances/{instance.pk}/launches/{launch.pk}/?at=123456#at-123456" in text
    text = page.get(f"/instances/{instance.pk}/launches/{launch.pk}/").content.decode()
    assert "?at=123456#at-123456" in text and "ValueError: x" in text


NOTICE = {
    "code": "no-chat-template",
    "text": "No chat template.",
    "advice": "Give one.",
    "evidence": "WARN x",
}


@pytest.mark.usefixtures("engine")
def test_what_is_not_well_with_a_running_engine_stands_on_its_page(page: Client, mia: User) -> None:
    instance = in_state(mia, State.RUNNING, notices=[NOTICE], ready_at="2026-11-25T04:00:00Z")
    text = page.get(f"/instances/{instance.pk}/").content.decode()
    assert 'id="instance-notices"' in text
    assert "No chat template." in text and "Give one." in text and "WARN x" in text
    assert "Runs, but: No chat template." in page.get("/").content.decode()


def test_a_new_notice_is_a_new_look(mia: User) -> None:
    instance = in_state(mia, State.RUNNING, notices=[NOTICE])
    assert instance.last_launch
    before = Card(instance).look
    instance.last_launch.notices = []
    assert Card(instance).look != before


def test_an_engine_that_has_ended_has_no_notices(mia: User) -> None:
    assert Card(in_state(mia, State.ERROR, notices=[NOTICE])).notices == []
