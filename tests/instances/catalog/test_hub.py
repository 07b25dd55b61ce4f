from __future__ import annotations

import json
from typing import Any

import pytest

from instances.catalog import hub as hugging_face
from instances.catalog.failures import CatalogFailure, Gated, NotAHub, NotFound, RateLimited, Unreachable
from tests.fakes.fake_hub import FakeHub

CONFIG = {"architectures": ["Qwen3ForCausalLM"], "num_hidden_layers": 36}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "model.safetensors": b"w" * 1000,
    "pytorch_model.bin": b"w" * 1000,
    "README.md": b"# Qwen",
}


@pytest.fixture(autouse=True)
def models(hub: FakeHub) -> None:
    hub.add("Qwen/Qwen3-8B", FILES, counts={"BF16": 8_190_735_360})
    hub.add("meta/Llama", FILES, gated=True)
    hub.add("mine/secret", FILES, private=True)


def test_a_search_tells_what_a_list_needs(hub: FakeHub) -> None:
    (found,) = hugging_face.search(hub.url, " qwen3 ")
    assert found == hugging_face.Hit(
        "Qwen/Qwen3-8B", 1000, 7, False, "generate", 8_190_735_360, "2026-05-01T10:00:00.000Z"
    )
    assert "sort=downloads" in hub.asked[0]


def test_a_search_says_what_is_gated_and_keeps_to_its_limit(hub: FakeHub) -> None:
    assert [hit.gated for hit in hugging_face.search(hub.url, "llama")] == [True]
    assert len(hugging_face.search(hub.url, "", limit=2)) == 2
    assert hugging_face.search(hub.url, "nothing like it") == []


def test_a_model_is_described_by_what_vllm_would_load(hub: FakeHub) -> None:
    found = hugging_face.describe(hub.url, "Qwen/Qwen3-8B", None, None)
    assert found.config == CONFIG and found.counts == {"BF16": 8_190_735_360}
    assert (found.weights, found.bytes) == (1000, 1000 + len(FILES["config.json"]))
    assert found.sha == hub.models["Qwen/Qwen3-8B"].sha and not found.gated


def failure_of(
    hub: FakeHub, model: str = "Qwen/Qwen3-8B", token: str | None = None, **more: Any
) -> CatalogFailure:
    with pytest.raises(CatalogFailure) as caught:
        hugging_face.describe(hub.url, model, more.pop("revision", None), token, **more)
    return caught.value


def test_an_unknown_model_is_told_with_the_nearest_ones(hub: FakeHub) -> None:
    failure = failure_of(hub, "Qwn/Qwen3-8B")
    assert isinstance(failure, NotFound)
    assert failure.reason == "The Hugging Face hub has no model Qwn/Qwen3-8B."
    assert failure.mend.endswith("Nearest: Qwen/Qwen3-8B.")


def test_a_private_model_is_as_if_it_were_not_there(hub: FakeHub) -> None:
    assert "A private model needs a token" in failure_of(hub, "mine/secret").mend
    assert hugging_face.describe(hub.url, "mine/secret", None, hub.token).config == CONFIG


def test_a_gated_model_wants_its_licence_and_a_token(hub: FakeHub) -> None:
    failure = failure_of(hub, "meta/Llama")
    assert isinstance(failure, Gated) and f"{hub.url}/meta/Llama" in failure.mend
    assert hugging_face.describe(hub.url, "meta/Llama", None, hub.token).gated


def test_a_refused_token_is_another_thing_than_a_missing_one(hub: FakeHub) -> None:
    failure = failure_of(hub, token="hf_wrong-token")
    assert isinstance(failure, Gated) and failure.reason == "The Hugging Face hub refused the token."


@pytest.mark.parametrize("token", ["hf_\n", "hf_ü", "hf_\x00"])
def test_a_token_that_no_header_can_carry_is_refused_before_anything_is_sent(
    hub: FakeHub, token: str
) -> None:
    assert isinstance(failure_of(hub, token=token), Gated) and not hub.asked


def test_an_unknown_revision_is_named(hub: FakeHub) -> None:
    assert failure_of(hub, revision="v9").reason == "Qwen/Qwen3-8B has no such revision."


@pytest.mark.parametrize("model", ["", "a/b/c", "../x", "a b", "a/..", "https://x/y"])
def test_what_is_no_name_of_a_model_is_not_asked_for(hub: FakeHub, model: str) -> None:
    assert isinstance(failure_of(hub, model), NotFound) and not hub.asked


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, RateLimited), (500, Unreachable), (503, Unreachable), (418, NotAHub), (407, NotAHub)],
)
def test_every_status_has_a_sentence(hub: FakeHub, status: int, kind: type[CatalogFailure]) -> None:
    hub.status, hub.headers = status, {"Retry-After": "30"}
    failure = failure_of(hub)
    assert type(failure) is kind and failure.reason.endswith(".") and failure.mend.endswith(".")
    if isinstance(failure, RateLimited):
        assert failure.wait == 30


@pytest.mark.parametrize(
    "page", ["<html>Sign in to the network</html>", "", "[]", "7", "null", '{"siblings": 7}']
)
def test_an_answer_that_no_hub_gives_is_said(hub: FakeHub, page: str) -> None:
    hub.page = page
    assert isinstance(failure_of(hub), NotAHub)
    if page != "[]":
        with pytest.raises(NotAHub):
            hugging_face.search(hub.url, "x")


def test_a_config_that_is_none_is_empty(hub: FakeHub) -> None:
    for text in (b"{broken", b"[]", b"[" * 100_000):
        hub.add("odd/one", {"config.json": text, "model.safetensors": b"w"})
        assert hugging_face.describe(hub.url, "odd/one", None, None).config == {}


def test_a_hub_that_does_not_answer_is_given_up(hub: FakeHub) -> None:
    hub.holds["config.json"] = 3
    failure = failure_of(hub, patience=0.3)
    assert isinstance(failure, Unreachable) and failure.reason == "127.0.0.1 did not answer in time."


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1", "http://[", "ftp://x", "nonsense", "http://no.such.invalid"]
)
def test_an_address_where_nobody_is_has_a_sentence(endpoint: str) -> None:
    with pytest.raises(CatalogFailure) as caught:
        hugging_face.search(endpoint, "x")
    assert caught.value.reason.endswith(".")


def test_a_password_in_the_address_is_never_told(hub: FakeHub) -> None:
    endpoint = hub.url.replace("://", "://mia:canary@")
    with pytest.raises(Gated) as caught:
        hugging_face.describe(endpoint, "meta/Llama", None, None)
    assert "canary" not in caught.value.reason + caught.value.mend


def test_the_address_can_be_set() -> None:
    assert hugging_face.endpoint_of({}) == "https://huggingface.co"
    assert hugging_face.endpoint_of({"HF_ENDPOINT": " https://hf-mirror.com/ "}) == "https://hf-mirror.com"


def test_a_redirect_to_another_host_does_not_get_the_token(hub: FakeHub) -> None:
    with FakeHub() as other:
        hub.status, hub.headers = (
            307,
            {"Location": f"{other.url.replace('127.0.0.1', 'localhost')}/api/models"},
        )
        hugging_face.search(hub.url, "x", hub.token)
    assert hub.tokens == [hub.token] and other.tokens == [""]
