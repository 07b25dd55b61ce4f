from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from instances.flag_rows import text_in_row
from instances.flag_text import args_of, value_of
from instances.models import DesiredState, Instance, Preset
from instances.presets import BUILT_IN
from instances.states import State

from .made import in_state, make_instance

pytestmark = pytest.mark.usefixtures("engine")
HTMX = {"HX-Request": "true"}


def typed(**fields: Any) -> dict[str, Any]:
    return {"name": "tiny", "model": "Qwen/Qwen3-0.6B", "restart": "on", "start": "true", **fields}


def test_it_begins_with_the_demo_under_a_free_name(page: Client, mia: User) -> None:
    make_instance(mia, "tiny-demo")
    form = page.get("/deploy/").context["form"]
    assert form["name"].value() == "tiny-demo-2"
    assert form["model"].value() == str(settings.DEMO_DIR / "tiny-chat")
    assert form["args"].value()["enforce-eager"] is True


@pytest.mark.parametrize("slug", [preset["slug"] for preset in BUILT_IN])
def test_every_preset_can_be_deployed_as_it_is(page: Client, slug: str) -> None:
    form = page.get("/deploy/", {"preset": slug}).context["form"]
    fields = {
        name: form[name].value() or "" for name in form.fields if name not in ("trust_remote_code", "args")
    }
    rows = {"flag": [row.written for row in form.rows()]}
    rows |= {f"args.{row.written}": row.text for row in form.rows()}
    assert page.post("/deploy/", {**fields, **rows, "start": "false"}).status_code == 302
    assert Instance.objects.get().config == Preset.objects.get(slug=slug).configuration


def test_another_preset_fills_the_fields_and_keeps_the_name_that_was_typed(page: Client) -> None:
    headers = {**HTMX, "HX-Target": "deploy-fields"}
    answer = page.get("/deploy/", {"preset": "qwen3-8b", "name": "my-own"}, headers=headers)
    text = answer.content.decode()
    assert 'value="my-own"' in text and 'value="Qwen/Qwen3-8B"' in text and "<html" not in text
    assert 'id="deploy-command" hx-swap-oob="true"' in text


def test_a_right_form_makes_an_instance_and_leads_to_it(page: Client, mia: User) -> None:
    answer = page.post("/deploy/", typed(max_model_len="32k", args="--seed 7", env="A=b"))
    instance = Instance.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/instances/{instance.pk}/")
    assert instance.config == {
        "model": "Qwen/Qwen3-0.6B",
        "max_model_len": 32768,
        "args": {"seed": 7},
        "env": {"A": "b"},
    }
    assert (instance.owner, instance.desired_state) == (mia, DesiredState.RUNNING)


def test_it_can_be_saved_without_starting(page: Client) -> None:
    page.post("/deploy/", typed(start="false"))
    assert Instance.objects.get().desired_state == DesiredState.STOPPED


def test_for_htmx_the_way_to_the_instance_is_a_header(page: Client) -> None:
    answer = page.post("/deploy/", typed(), headers=HTMX)
    assert answer["HX-Redirect"] == f"/instances/{Instance.objects.get().pk}/"


def test_errors_stand_beside_their_fields_and_what_was_typed_is_kept(page: Client) -> None:
    answer = page.post("/deploy/", typed(port="80", max_model_len="bad", args="--host 0.0.0.0"), headers=HTMX)
    text = answer.content.decode()
    assert answer.status_code == 422 and "<html" not in text
    for error in ("id_port_error", "id_max_model_len_error", "flag-host_error"):
        assert f'id="{error}"' in text
    assert 'value="80"' in text and 'value="bad"' in text and 'value="0.0.0.0"' in text
    assert not Instance.objects.exists()


def test_a_double_click_makes_one_instance(page: Client) -> None:
    submission = str(uuid.uuid4())
    first, second = (page.post("/deploy/", typed(submission=submission)) for _ in range(2))
    assert Instance.objects.count() == 1
    assert first["Location"] == second["Location"]


def test_a_name_that_is_taken_is_said_at_the_name(page: Client, mia: User) -> None:
    make_instance(mia, "tiny")
    answer = page.post("/deploy/", typed())
    assert answer.status_code == 422 and set(answer.context["form"].errors) == {"name"}


# row 23: beyond the limit
def test_beyond_the_limit_nothing_is_saved_and_it_says_which_run(
    page: Client, mia: User, settings: Any
) -> None:
    settings.LLMOPS_MAX_INSTANCES = 1
    make_instance(mia, "occupied")
    answer = page.post("/deploy/", typed())
    assert answer.status_code == 422 and "occupied" in answer.content.decode()
    assert Instance.objects.count() == 1


def test_remote_code_is_not_for_everybody(as_jonas: Client) -> None:
    answer = as_jonas.post("/deploy/", typed(trust_remote_code="on"))
    assert set(answer.context["form"].errors) == {"trust_remote_code"}


def test_editing_makes_a_revision_and_starts_it(page: Client, mia: User) -> None:
    instance = in_state(mia, State.ERROR, error="Too long.")
    form = page.get(f"/deploy/?from={instance.pk}").context["form"]
    assert form["model"].value() == "Qwen/Qwen3-0.6B"
    answer = page.post(f"/deploy/?from={instance.pk}", typed(name="renamed", max_model_len="1024"))
    instance.refresh_from_db()
    assert answer["Location"] == f"/instances/{instance.pk}/"
    assert instance.revision is not None and instance.revision.number == 2
    assert (instance.name, instance.config["max_model_len"]) == ("tiny", 1024)
    assert instance.is_awaited


def test_an_edit_beyond_the_limit_saves_no_revision(page: Client, mia: User, settings: Any) -> None:
    settings.LLMOPS_MAX_INSTANCES = 1
    make_instance(mia, "occupied")
    instance = in_state(mia, State.STOPPED)
    answer = page.post(f"/deploy/?from={instance.pk}", typed(max_model_len="1024"))
    assert answer.status_code == 422
    assert instance.revisions.count() == 1


def test_a_copy_has_a_fresh_name_and_no_port(page: Client, mia: User) -> None:
    instance = make_instance(mia, "tuned", port=8200, args={"seed": 7})
    form = page.get(f"/deploy/?copy={instance.pk}").context["form"]
    assert form["name"].value() == "tuned-2" and not form["port"].value()
    assert form["args"].value() == {"seed": 7}


def test_the_command_is_redrawn_while_one_types(page: Client) -> None:
    text = page.post("/deploy/command/", typed(max_model_len="2048", port="bad")).content.decode()
    assert "--max-model-len 2048" in text and "vllm serve Qwen/Qwen3-0.6B" in text


def test_the_demo_is_one_click(page: Client, mia: User) -> None:
    make_instance(mia, "tiny-demo", running=False)
    submission = str(uuid.uuid4())
    for _ in range(2):
        page.post("/deploy/demo/", {"submission": submission})
    made = Instance.objects.exclude(name="tiny-demo").get()
    assert (made.name, made.config) == ("tiny-demo-2", Preset.objects.get(slug="tiny-demo").configuration)


@pytest.mark.parametrize(
    "value", [True, 7, "7", "64M", "1.10", 1e6, {"rope_theta": 1e6}, ["a", "b"], "a b = c"]
)
def test_a_flag_that_no_schema_knows_comes_back_from_its_text_as_it_was(value: Any) -> None:
    assert value_of(text_in_row(value, None)) == value


def test_flags_are_read_as_on_a_command_line() -> None:
    text = "--seed=7\n  enforce-eager  \n--chat-template 'a b'\n\n--rope-scaling {\"factor\": 2.0}"
    assert args_of(text) == {
        "seed": 7,
        "enforce-eager": True,
        "chat-template": "a b",
        "rope-scaling": {"factor": 2.0},
    }


@pytest.mark.parametrize("number", ["²", "x", "-1", "9" * 30])
def test_what_is_no_number_in_the_address_is_as_if_it_were_absent(page: Client, number: str) -> None:
    assert page.get("/deploy/", {"from": number}).context["instance"] is None
    assert page.get("/deploy/", {"copy": number}).status_code == 200


@pytest.mark.parametrize(
    "take", ['{"gpus": 5}', '{"args": {"a": ' + "[" * 900 + "]" * 900 + "}}", '{"args": {"a": "\\ud800"}}']
)
def test_a_forged_change_is_no_change(page: Client, take: str) -> None:
    assert page.post("/deploy/", {"name": "x", "model": "a/b", "take": take}).status_code == 200
