"""A command is pasted, read while one types, and put into the deploy form."""

from __future__ import annotations

import html
import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from instances import tokens
from instances.models import Instance
from instances.paste_card import EXAMPLES

from .made import make_instance

pytestmark = pytest.mark.usefixtures("engine")
CANARY = "hf_canaryOfAToken0123456789abcdefgh"
LINE = "CUDA_VISIBLE_DEVICES=1 VLLM_LOGGING_LEVEL=DEBUG vllm serve Qwen/Qwen3-8B --max-num-seqs 4 --port 8000"
WITH_TOKEN = f"HF_TOKEN={CANARY} vllm serve Qwen/Qwen3-8B --seed 7"
TYPING = {"HX-Request": "true", "HX-Target": "paste-read"}


def read(page: Client, text: str) -> str:
    answer = page.post("/deploy/paste/", {"text": text}, headers=TYPING)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def test_an_empty_page_teaches_and_offers_examples(page: Client) -> None:
    text = page.get("/deploy/paste/").content.decode()
    assert "Paste what you run today" in text
    assert re.findall(r'name="example" value="(\w+)"', text) == list(EXAMPLES)
    assert "Fill the form" not in text


def test_the_deploy_page_leads_to_it(page: Client, mia: User) -> None:
    assert 'href="/deploy/paste/"' in page.get("/deploy/").content.decode()
    instance = make_instance(mia)
    assert 'href="/deploy/paste/"' not in page.get("/deploy/", {"from": instance.pk}).content.decode()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_understood_without_a_rest_that_is_no_flag(page: Client, name: str) -> None:
    headers = {"HX-Request": "true", "HX-Target": "paste-form"}
    text = page.post("/deploy/paste/", {"text": "", "example": name}, headers=headers).content.decode()
    assert html.escape(EXAMPLES[name].split("\n")[-1]) in text
    assert "<html" not in text and "Qwen3-8B</p>" in text and "There is no" not in text


def test_what_was_understood_is_shown_while_one_types(page: Client) -> None:
    text = read(page, LINE)
    assert "<html" not in text and '<p class="strong wrap">Qwen/Qwen3-8B</p>' in text
    assert "<dt>GPUs</dt><dd>1</dd>" in text and "<dt>Name</dt><dd>qwen3-8b</dd>" in text
    assert "--max-num-seqs 4\n" in text and "VLLM_LOGGING_LEVEL=DEBUG\n" in text
    assert "--port 8000</code>" in text and "The console chooses a free port." in text
    assert "People used port 8000." in text and 'id="paste-remarks" hx-swap-oob="true"' in text


def test_text_without_a_command_says_what_to_paste(page: Client) -> None:
    text = read(page, "hello")
    assert "No command that starts vLLM was found" in text and "Fill the form" not in text


def test_an_unknown_model_is_asked_for(page: Client) -> None:
    assert "Enter it in the form." in read(page, "vllm serve $MODEL --seed 7")


def test_what_is_pasted_stands_on_the_page_as_text_alone(page: Client) -> None:
    text = (
        "vllm serve '<img src=x onerror=alert(1)>' --seed '<b>' --served-model-name '\"><i>'\n</textarea><s>"
    )
    for headers in (TYPING, {}):
        answer = page.post("/deploy/paste/", {"text": text}, headers=headers).content.decode()
        assert not re.search(r"<(img|b|i|s)\b[ >]", answer)


def test_without_scripts_the_whole_page_comes_with_the_text(page: Client) -> None:
    text = page.post("/deploy/paste/", {"text": LINE}).content.decode()
    assert "<html" in text and f"&#10;{LINE}</textarea>" in text and "Fill the form" in text


def test_the_form_is_filled_and_nothing_is_saved(page: Client, mia: User) -> None:
    make_instance(mia, "qwen3-8b")
    answer = page.post("/deploy/paste/fill/", {"text": LINE})
    form = answer.context["form"]
    assert form["name"].value() == "qwen3-8b-2" and form["model"].value() == "Qwen/Qwen3-8B"
    assert form["args"].value() == {"max-num-seqs": 4} and form["gpus"].value() == "1"
    assert form["env"].value() == "VLLM_LOGGING_LEVEL=DEBUG"
    text = answer.content.decode()
    assert "Filled from what you pasted. One thing was left out." in text
    assert "--max-num-seqs 4" in text and 'action="/deploy/"' in text
    assert Instance.objects.count() == 1


def test_a_restart_policy_and_trust_reach_the_form(page: Client) -> None:
    unit = "[Service]\nRestart=no\nExecStart=vllm serve a/b --trust-remote-code"
    form = page.post("/deploy/paste/fill/", {"text": unit}).context["form"]
    assert form["restart"].value() is False and form["trust_remote_code"].value() is True


def test_nothing_to_fill_in_brings_the_page_back(page: Client) -> None:
    answer = page.post("/deploy/paste/fill/", {"text": "hello"})
    assert answer.status_code == 422 and "No command that starts vLLM" in answer.content.decode()
    assert page.post("/deploy/paste/fill/").status_code == 422


def test_the_address_of_the_filled_form_leads_back_to_the_text(page: Client) -> None:
    assert page.get("/deploy/paste/fill/")["Location"] == "/deploy/paste/"


def test_a_token_is_kept_when_that_is_wished(page: Client) -> None:
    assert 'name="keep" value="huggingface" checked' in read(page, WITH_TOKEN)
    assert tokens.value("huggingface") == ""
    answer = page.post("/deploy/paste/fill/", {"text": WITH_TOKEN, "keep": "huggingface"})
    assert tokens.value("huggingface") == CANARY
    assert "The token of Hugging Face is kept." in answer.content.decode()


def test_a_token_is_not_kept_when_that_is_not_wished(page: Client) -> None:
    page.post("/deploy/paste/fill/", {"text": WITH_TOKEN})
    assert tokens.value("huggingface") == ""


def test_another_token_is_replaced_only_on_request(page: Client, mia: User) -> None:
    tokens.keep(actor=mia, hub="huggingface", token="hf_an_older_one")
    text = read(page, WITH_TOKEN)
    assert 'value="huggingface">' in text and "takes the place of the one that is kept" in text


def test_what_is_no_token_is_not_kept_and_said(page: Client) -> None:
    text = "HF_TOKEN=hf_ü12345678901 vllm serve a/b"
    answer = page.post("/deploy/paste/fill/", {"text": text, "keep": "huggingface"})
    assert "was not kept. A token has" in answer.content.decode() and tokens.value("huggingface") == ""


def test_who_may_not_keep_a_token_is_told_who_can(as_jonas: Client, jonas: User) -> None:
    text = read(as_jonas, WITH_TOKEN)
    assert "an administrator sets it" in text and 'name="keep"' not in text
    as_jonas.post("/deploy/paste/fill/", {"text": WITH_TOKEN, "keep": "huggingface"})
    assert tokens.value("huggingface") == ""
    jonas.user_permissions.add(Permission.objects.get(codename="manage_tokens"))
    assert 'name="keep"' in read(as_jonas, WITH_TOKEN)


@pytest.mark.parametrize("address", ["/deploy/paste/", "/deploy/paste/fill/"])
@pytest.mark.parametrize("headers", [TYPING, {}])
def test_a_secret_never_comes_back(page: Client, address: str, headers: dict[str, str]) -> None:
    text = f"{WITH_TOKEN} --api-key canary-of-a-key --served-model-name {CANARY}\ncurl -H 'Bearer {CANARY}'"
    answer = page.post(address, {"text": text, "keep": "huggingface"}, headers=headers)
    assert "canary" not in answer.content.decode().lower()
    assert "canary" not in str(answer.headers).lower()


def test_a_stranger_is_asked_to_sign_in(client: Client, mia: User) -> None:
    assert client.get("/deploy/paste/").status_code == 302
    assert client.post("/deploy/paste/fill/", {"text": LINE}).status_code == 302
