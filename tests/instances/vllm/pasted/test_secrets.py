"""Keys and tokens: handed on only as `secrets`, and never in what is shown."""

from __future__ import annotations

import json

import pytest

from instances.vllm.pasted import masked

from .made import found

TOKEN = "hf_canaryOfAToken0123456789abcdefgh"
KEY = "sk-canary-of-a-key-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN={} vllm serve a/b",
        "export HF_TOKEN={}\nvllm serve a/b",
        "export HUGGING_FACE_HUB_TOKEN='{}'\nvllm serve a/b",
        '$env:HF_TOKEN = "{}"\nvllm serve a/b',
        "vllm serve a/b --hf-token {}",
        "vllm serve a/b --hf_token={}",
        'docker run --env "HUGGING_FACE_HUB_TOKEN={}" vllm/vllm-openai --model a/b',
        "services:\n  v:\n    image: vllm/vllm-openai\n    environment:\n      - HF_TOKEN={}\n    command: --model a/b",
        "[Service]\nEnvironment=HF_TOKEN={}\nExecStart=vllm serve a/b",
        'FROM vllm/vllm-openai\nENV HF_TOKEN={}\nCMD ["--model", "a/b"]',
    ],
)
def test_a_token_of_a_hub_is_found_and_shown_nowhere(text: str) -> None:
    read = found(text.replace("{}", TOKEN))
    assert read.secrets == {"HF_TOKEN": TOKEN}
    assert read.configuration == {"name": "b", "model": "a/b"}
    assert "canary" not in json.dumps([read.left_out, read.notes]) and TOKEN not in repr(read)


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve a/b --api-key {}",
        "vllm serve a/b --api_key={} --api-key {}",
        "VLLM_API_KEY={} vllm serve a/b",
        "MY_PASSWORD={} vllm serve a/b --seed 3",
        "vllm serve a/b --served-model-name {}",
        "vllm serve {}",
        "vllm serve a/b --no-such {}",
        "vllm serve a/b\ncurl -H 'Authorization: Bearer {}' localhost",
        "docker run --name {} -p 80:80 vllm/vllm-openai --model a/b",
        "KEY={}\nvllm serve a/b --tokenizer $KEY",
        'vllm serve a/b --additional-config \'{"k": "{}"}\'',
    ],
)
def test_another_key_is_nowhere_at_all(text: str) -> None:
    read = found(text.replace("{}", KEY))
    assert "canary" not in json.dumps([read.configuration, read.left_out, read.notes])
    assert read.secrets == {}


@pytest.mark.parametrize(
    "value", ["hf_xxxxxxxx", "<your token>", "$HF_TOKEN", "${HF_TOKEN}", "", "your_token_here"]
)
def test_what_stands_in_examples_is_no_token(value: str) -> None:
    assert found(f"HF_TOKEN='{value}' vllm serve a/b").secrets == {}


def test_words_about_tokens_are_no_secrets() -> None:
    read = found("vllm serve a/b --max-num-batched-tokens 8192 --tokenizer-mode slow")
    assert read.configuration["args"] == {"max-num-batched-tokens": 8192, "tokenizer-mode": "slow"}


def test_a_text_to_be_shown_again_has_none() -> None:
    text = f"HF_TOKEN={TOKEN} vllm serve a/b --api-key {KEY} --seed 3"
    assert masked(text) == "HF_TOKEN=••• vllm serve a/b --api-key ••• --seed 3"


@pytest.mark.parametrize(
    "text",
    [
        "[Service]\nEnvironment=VLLM_API_KEY={}\nExecStart=vllm serve a/b",
        '[Service]\nEnvironment="VLLM_API_KEY={}"\nExecStart=vllm serve a/b',
        "[Service]\nEnvironment='HF_TOKEN={}'\nExecStart=vllm serve a/b",
        "docker login -u me -p {} && vllm serve a/b",
        "K={}\nvllm serve a/b --api-key $K",
        "K={}; vllm serve a/b --api-key ${{K}}",
    ],
)
def test_a_secret_without_a_look_of_its_own_is_masked_by_where_it_stands(text: str) -> None:
    pasted = text.format("Zq8canaryPlain77xyz")
    read = found(pasted)
    shown = json.dumps([masked(pasted), read.configuration, read.left_out, read.notes])
    assert "canary" not in shown and "•••}" not in shown
