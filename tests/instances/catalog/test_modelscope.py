from __future__ import annotations

import json

import pytest

from instances.catalog import modelscope
from instances.catalog.failures import CatalogFailure, NotAHub, NotFound
from tests.fakes.fake_hub import FakeHub

CONFIG = {"architectures": ["Qwen3ForCausalLM"]}
FILES = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": b"w" * 1000}


@pytest.fixture(autouse=True)
def models(hub: FakeHub) -> None:
    hub.add("Qwen/Qwen3-8B", FILES, counts={"BF16": 8_190_735_360})


def test_a_search_tells_what_a_list_needs(hub: FakeHub) -> None:
    (found,) = modelscope.search(hub.url, "qwen3")
    assert (found.model, found.task, found.parameters) == ("Qwen/Qwen3-8B", "generate", 8_190_735_360)


def test_a_model_is_described_by_its_files(hub: FakeHub) -> None:
    found = modelscope.describe(hub.url, "Qwen/Qwen3-8B")
    assert (found.config, found.weights, found.counts, found.sha) == (CONFIG, 1000, {}, "master")


@pytest.mark.parametrize("model", ["no/such", "gpt2", "../x", "a/b/c", ""])
def test_what_is_not_there_has_a_sentence(hub: FakeHub, model: str) -> None:
    with pytest.raises(NotFound) as caught:
        modelscope.describe(hub.url, model)
    assert caught.value.reason.endswith(".")


@pytest.mark.parametrize("page", ["<html>", "[]", '{"Data": 7}', '{"data": {"models": 7}}'])
def test_an_answer_that_no_hub_gives_is_said(hub: FakeHub, page: str) -> None:
    hub.page = page
    with pytest.raises(NotAHub):
        modelscope.search(hub.url, "x")
    with pytest.raises(NotAHub):
        modelscope.describe(hub.url, "a/b")


def test_a_hub_that_says_so_in_its_answer_has_no_such_model(hub: FakeHub) -> None:
    hub.page = '{"Code": 10010205001, "Message": "not exist", "Data": null}'
    with pytest.raises(NotFound):
        modelscope.describe(hub.url, "a/b")


def test_one_that_is_away_is_said() -> None:
    with pytest.raises(CatalogFailure) as caught:
        modelscope.search("http://127.0.0.1:1", "x")
    assert caught.value.reason == "127.0.0.1 could not be reached."


def test_the_address_can_be_set() -> None:
    assert modelscope.endpoint_of({"MODELSCOPE_ENDPOINT": "https://m.example/"}) == "https://m.example"
