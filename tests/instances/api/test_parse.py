"""`POST /api/models/parse`: what it gives is the body of a deploy, and no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Event, User
from instances.configuration import ConfigurationError, clean_configuration
from instances.models import HubToken, Instance
from tests.instances.vllm.pasted.made import NUMBERS, case

pytestmark = pytest.mark.usefixtures("engine")
CANARY = "hf_canaryOfAToken0123456789abcdefgh"


def ask(page: Client, command: Any, **more: Any) -> tuple[int, Any]:
    sent = json.dumps({"command": command, **more})
    answer = page.post("/api/models/parse", sent, content_type="application/json")
    return answer.status_code, answer.json()


def test_it_answers_with_a_configuration_what_was_left_out_and_notes(page: Client) -> None:
    status, found = ask(page, "CUDA_VISIBLE_DEVICES=1 vllm serve a/b -tp=1 --seed 7 --port 8021 --no-such 3")
    assert status == 200 and set(found) == {"configuration", "left_out", "notes"}
    assert found["configuration"] == {
        "name": "b",
        "model": "a/b",
        "tensor_parallel_size": 1,
        "gpus": ["1"],
        "args": {"seed": 7},
    }
    assert [one["text"] for one in found["left_out"]] == ["--port 8021", "--no-such 3"]
    assert "There is no flag --no-such" in found["left_out"][1]["why"]
    assert found["notes"] == ["People used port 8021. Enter it in the field port to keep it."]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_deploy_accepts_what_a_case_becomes(page: Client, mia: User, number: str) -> None:
    """But for a model that is not known, or lies outside the model folders of this console."""
    configuration = ask(page, case(number))[1]["configuration"]
    body = {**configuration, "model": "a/b"}
    assert clean_configuration(body, user=mia).config.get("args", {}) == configuration.get("args", {})
    try:
        clean_configuration(configuration, user=mia)
    except ConfigurationError as wrong:
        assert set(wrong.errors) == {"model"}


def test_a_deploy_takes_it_as_it_is(page: Client) -> None:
    body = ask(page, "vllm serve Qwen/Qwen3-8B -q fp8 --max-model-len 32k --enforce-eager")[1][
        "configuration"
    ]
    sent = json.dumps({**body, "start": False})
    answer = page.post("/api/models/deploy", sent, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert Instance.objects.get().config == {
        "model": "Qwen/Qwen3-8B",
        "max_model_len": 32000,
        "quantization": "fp8",
        "args": {"enforce-eager": True},
    }


def test_nothing_is_saved(page: Client) -> None:
    ask(page, f"HF_TOKEN={CANARY} vllm serve a/b")
    assert not HubToken.objects.exists() and not Instance.objects.exists()
    assert not Event.objects.filter(subject__startswith="hub").exists()


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN={} vllm serve a/b",
        "export HUGGING_FACE_HUB_TOKEN='{}'\nvllm serve a/b",
        "vllm serve a/b --hf-token {}",
        "vllm serve a/b --api-key={}",
        "vllm serve a/b --api_key {} --served-model-name {}",
        "docker run -e HF_TOKEN={} -v {}:/x vllm/vllm-openai --model {}",
        "curl -H 'Authorization: Bearer {}' x\nvllm serve a/b",
        "services:\n  v:\n    image: vllm/vllm-openai\n    environment:\n      HF_TOKEN: {}\n    command: --model a/b",
        'vllm serve a/b --no-such-flag {} --hf-overrides \'{"rope_theta": "{}"}\' --seed {}',
        "[Service]\nEnvironment=HF_TOKEN={}\nExecStart=vllm serve a/b --chat-template {}",
        "git clone https://mia:{}@huggingface.co/a/b\nvllm serve a/b",
        "X={}\nvllm serve $X --tokenizer $X",
    ],
)
def test_a_secret_does_not_come_back(page: Client, text: str) -> None:
    status, found = ask(page, text.replace("{}", CANARY))
    assert status == 200
    assert "canary" not in json.dumps(found).lower()


def test_text_that_starts_no_engine_is_told_so(page: Client) -> None:
    status, found = ask(page, "hello")
    assert (status, found["configuration"], found["left_out"]) == (200, {}, [])
    assert "No command that starts vLLM was found" in found["notes"][0]


@pytest.mark.parametrize("command", [None, 7, ["vllm", "serve"]])
def test_a_body_without_a_text_is_refused_by_field(page: Client, command: Any) -> None:
    status, found = ask(page, command)
    assert (status, found["detail"][0]["field"]) == (422, "command")


def test_an_unknown_key_is_refused(page: Client) -> None:
    assert ask(page, "vllm serve a/b", run=True)[0] == 422


def test_a_stranger_may_not_ask(client: Client, mia: User) -> None:
    sent = json.dumps({"command": "vllm serve a/b"})
    assert client.post("/api/models/parse", sent, content_type="application/json").status_code == 401


def test_the_documentation_has_an_example_that_works(page: Client) -> None:
    schemas = page.get("/api/openapi.json").json()["components"]["schemas"]
    command = schemas["PastedCommand"]["examples"][0]["command"]
    assert ask(page, command)[1] == schemas["ReadCommand"]["examples"][0]
