"""A command is pasted, understood, and put into the deploy form, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console import Console

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    console = Console(Path(tmp_path_factory.mktemp("paste")) / "data")
    console.start()
    console.make_administrator()
    yield console, 0
    console.close()


@pytest.fixture
def form(signed_in: Page, deployed: tuple[Console, int]) -> Page:
    signed_in.goto(f"{deployed[0].url}/deploy/")
    signed_in.get_by_role("link", name="Paste a command").click()
    return signed_in


def test_a_pasted_line_fills_the_form_and_its_flag_stands_in_the_command(form: Page) -> None:
    text = form.get_by_label("Command or file")
    expect(text).to_be_focused()
    form.keyboard.insert_text("vllm serve Qwen/Qwen3-8B --max-num-seqs 4 --swap-space 8")
    read = form.locator("#paste-read")
    expect(read).to_contain_text("Qwen/Qwen3-8B")
    expect(read).to_contain_text("--max-num-seqs 4")
    expect(form.locator("#paste-remarks")).to_contain_text("no longer has --swap-space")
    form.get_by_role("button", name="Fill the form").click()
    expect(form.get_by_label("Model", exact=False).first).to_have_value("Qwen/Qwen3-8B")
    expect(form.get_by_label("--max-num-seqs", exact=True)).to_have_value("4")
    expect(form.locator("#command-line")).to_contain_text("--max-num-seqs 4")
    form.get_by_label("--max-num-seqs", exact=True).fill("8")
    expect(form.locator("#command-line")).to_contain_text("--max-num-seqs 8")


def test_an_example_is_tried_with_one_click_and_the_text_can_be_changed(form: Page) -> None:
    form.get_by_role("button", name="docker run").click()
    expect(form.locator("#paste-read")).to_contain_text("--max-num-seqs 64")
    form.get_by_label("Command or file").fill("vllm serve a/b --seed 7")
    expect(form.locator("#paste-read")).to_contain_text("--seed 7")
    expect(form.locator("#paste-read")).not_to_contain_text("--max-num-seqs")


def test_what_is_typed_in_the_moment_that_an_example_arrives_is_read(form: Page) -> None:
    form.evaluate(
        """() => {
            const old = document.querySelector("#paste-text");
            new MutationObserver((_, observer) => {
                const text = document.querySelector("#paste-text");
                if (!text || text === old) return;
                observer.disconnect();
                text.value = "vllm serve a/b --seed 7";
                text.dispatchEvent(new Event("input", {bubbles: true}));
            }).observe(document.body, {childList: true, subtree: true});
        }"""
    )
    form.get_by_role("button", name="docker run").click()
    expect(form.locator("#paste-read")).to_contain_text("--seed 7")


def test_markup_in_a_command_is_shown_as_text(form: Page) -> None:
    form.get_by_label("Command or file").fill("vllm serve '<img src=x onerror=alert(1)>' --seed '<b>7</b>'")
    expect(form.locator("#paste-remarks")).to_contain_text("<b>7</b>")
    expect(form.locator("#paste-form img")).to_have_count(0)
