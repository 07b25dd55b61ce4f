"""A flag is searched for, set and seen in the command, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console import Console

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    console = Console(Path(tmp_path_factory.mktemp("flags")) / "data")
    console.start()
    console.make_administrator()
    body = {"name": "tiny", "preset": "tiny-demo", "start": False, "args": {"seed": 7}}
    instance_id = console.api("POST", "/api/models/deploy", json=body).json()["id"]
    yield console, instance_id
    console.close()


@pytest.fixture
def form(signed_in: Page, deployed: tuple[Console, int]) -> Page:
    signed_in.goto(f"{deployed[0].url}/deploy/")
    return signed_in


def test_a_flag_is_found_as_one_types_set_and_seen_in_the_command(form: Page) -> None:
    form.get_by_label("Add a flag").press_sequentially("max num se", delay=20)
    expect(form.locator("#flag-found .hit").first).to_contain_text("--max-num-seqs")
    form.keyboard.press("Enter")
    value = form.get_by_label("--max-num-seqs", exact=True)
    expect(value).to_be_focused()
    form.keyboard.type("4")
    expect(form.locator("#command-line")).to_contain_text("--max-num-seqs 4")
    form.keyboard.press("Backspace")
    form.keyboard.type("x")
    form.keyboard.press("Tab")
    expect(form.locator("#flag-max-num-seqs_error")).to_contain_text("takes a whole number")
    expect(form.locator("#command-line")).not_to_contain_text("--max-num-seqs")
    expect(value).to_have_value("x")


def test_a_group_is_browsed_and_a_click_adds_a_switch_that_is_on(form: Page) -> None:
    form.locator("#flag-found").get_by_role("button", name="Cache").click()
    form.locator("#flag-found").get_by_role("button", name="--enable-prefix-caching").click()
    switch = form.get_by_label("--enable-prefix-caching", exact=True)
    expect(switch).to_be_checked()
    expect(form.locator("#command-line")).to_contain_text("--enable-prefix-caching")
    switch.uncheck()
    expect(form.locator("#command-line")).to_contain_text("--no-enable-prefix-caching")
    expect(form.locator("#flag-found")).to_contain_text("set above")
    form.get_by_role("button", name="Remove --enable-prefix-caching").click()
    expect(switch).to_have_count(0)
    expect(form.locator("#command-line")).not_to_contain_text("prefix-caching")


def test_a_removed_row_leaves_the_focus_at_its_neighbour(form: Page) -> None:
    form.get_by_role("button", name="Remove --distributed-executor-backend").press("Enter")
    expect(form.get_by_label("--kv-cache-memory-bytes", exact=True)).to_be_focused()


def test_a_wrong_name_stays_with_its_sentence_and_the_way_out(form: Page) -> None:
    form.get_by_label("Add a flag").fill("--max-num-sequences 4")
    form.keyboard.press("Enter")
    wrong = form.locator("#flag-max-num-sequences-row")
    expect(wrong).to_contain_text("There is no flag --max-num-sequences")
    form.get_by_role("button", name="Deploy", exact=True).click()
    expect(form.get_by_label("--max-num-sequences", exact=True)).to_be_focused()
    expect(form.get_by_label("--max-num-sequences", exact=True)).to_have_value("4")
    wrong.get_by_role("button", name="Take --max-num-seqs", exact=True).click()
    expect(form.get_by_label("--max-num-seqs", exact=True)).to_have_value("4")
    expect(form.locator("#command-line")).to_contain_text("--max-num-seqs 4")


def test_another_preset_brings_its_own_rows_and_the_search_goes_on(form: Page) -> None:
    form.get_by_role("link", name="24 GB").click()
    form.locator("#deploy-presets .choice").first.click()
    expect(form.get_by_label("--enforce-eager", exact=True)).to_have_count(0)
    form.get_by_label("Add a flag").press_sequentially("seed", delay=20)
    form.keyboard.press("Enter")
    expect(form.get_by_label("--seed", exact=True)).to_be_focused()


def test_another_engine_has_the_rows_judged_anew(form: Page) -> None:
    with form.expect_response("**/deploy/flags/rows/") as answer:
        form.locator("#id_engine").dispatch_event("change")
    assert answer.value.ok
    expect(form.get_by_label("--enforce-eager", exact=True)).to_be_checked()


def test_an_instance_is_changed_in_the_same_rows(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, instance_id = deployed
    signed_in.goto(f"{console.url}/deploy/?from={instance_id}")
    expect(signed_in.get_by_label("--seed", exact=True)).to_have_value("7")
    signed_in.get_by_label("--seed", exact=True).fill("8")
    signed_in.get_by_role("button", name="Save without starting").click()
    signed_in.wait_for_url(f"**/instances/{instance_id}/")
    newest = console.api("GET", f"/api/models/{instance_id}/revisions").json()[0]
    assert newest["configuration"]["args"]["seed"] == 8
