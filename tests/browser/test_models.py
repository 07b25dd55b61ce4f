"""A model is found, fetched and offered for a deploy, without a reload, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console import Console, fake_vllm_in
from tests.fakes.fake_hub import DEMO, FakeHub

pytestmark = pytest.mark.browser

FILES = {path.name: path.read_bytes() for path in DEMO.iterdir()}


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.add("tiny/chat", FILES, counts={"BF16": 1_053_312})
        fake.add("tiny/gated", FILES, gated=True)
        yield fake


@pytest.fixture(scope="module")
def deployed(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    folder = tmp_path_factory.mktemp("models")
    places = {"HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf")}
    console = Console(Path(folder) / "data", vllm=fake_vllm_in(folder), **places)
    console.start()
    console.make_administrator()
    yield console, 0
    console.close()


@pytest.fixture
def models(signed_in: Page, deployed: tuple[Console, int]) -> Page:
    signed_in.goto(f"{deployed[0].url}/models/")
    return signed_in


def test_a_model_is_found_fetched_and_deployed_from_there(models: Page, hub: FakeHub) -> None:
    hub.holds["model.safetensors"] = len(FILES["model.safetensors"]) // 2
    models.get_by_role("searchbox").press_sequentially("tiny/ch", delay=20)
    found = models.locator("#found tr", has_text="tiny/chat")
    expect(found).to_contain_text("1.1M")
    found.get_by_role("button", name="Download").click()
    download = models.locator("#downloads li", has_text="tiny/chat")
    expect(download).to_contain_text("1 MB of 2 MB")
    expect(found).to_contain_text("on its way")
    hub.go.set()
    expect(download).to_contain_text("On this machine.")
    expect(models.locator("#here")).to_contain_text("tiny/chat")
    expect(found).to_contain_text("here")
    download.get_by_role("link", name="Deploy").click()
    expect(models.locator("#id_model")).to_have_value("tiny/chat")
    expect(models.locator("#command-line")).to_contain_text("vllm serve tiny/chat")


def test_a_gated_model_says_what_to_do_and_goes_on_with_a_token(models: Page, hub: FakeHub) -> None:
    hub.token = "hf_a_good_token"
    models.get_by_role("searchbox").fill("gated")
    models.locator("#found tr", has_text="tiny/gated").get_by_role("button", name="Download").click()
    download = models.locator("#downloads li", has_text="tiny/gated")
    expect(download).to_contain_text("give a token of that account under Models")
    models.get_by_label("Hugging Face", exact=True).fill("hf_a_good_token")
    models.get_by_role("button", name="Keep").first.click()
    expect(models.locator("#tokens")).to_contain_text("Set by mia")
    assert "hf_a_good_token" not in models.content()
    download.get_by_role("button", name="Go on").click()
    expect(download).to_contain_text("On this machine.")


def test_names_are_suggested_while_one_is_typed(models: Page, deployed: tuple[Console, int]) -> None:
    models.goto(f"{deployed[0].url}/deploy/")
    models.locator("#id_model").fill("tiny")
    expect(models.locator("#model-names option[value='tiny/gated']")).to_have_count(1)
