"""Figures that move and charts that tell their values, in a real browser on a real console with the fake engine."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console import Console

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    console = Console(Path(tmp_path_factory.mktemp("figures")) / "data")
    console.start()
    console.make_administrator()
    env = {"FAKE_VLLM_TOKENS": "100", "FAKE_VLLM_TOKEN_DELAY": "0.02"}
    body = {"name": "tiny", "preset": "tiny-demo", "env": env}
    instance_id = console.api("POST", "/api/models/deploy", json=body).json()["id"]
    console.reaches(instance_id, "running")
    yield console, instance_id
    console.close()


@contextmanager
def asked(console: Console) -> Iterator[None]:
    """One answer after another meanwhile."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
            console.api("POST", "/v1/chat/completions", json=body)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def place(element: Locator) -> tuple[float, float, float, float]:
    box = element.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_figures_move_and_nothing_else_does(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, instance_id = deployed
    page = signed_in
    card = page.locator(f"#instance-{instance_id}")
    tokens = card.locator(f'[data-figure="instance-{instance_id}-tokens"]')
    expect(tokens).to_have_text("Idle")
    expect(page.locator('[data-figure="system-cpu-value"]')).to_have_text(re.compile(r"\d"))
    page.evaluate("document.body.dataset.same = 'yes'")
    node = card.evaluate_handle("element => element")
    before = place(card)
    with asked(console):
        expect(tokens).to_have_text(re.compile(r"^\d"))
        assert place(card) == before
        assert node.evaluate("element => element.isConnected")  # no HTML was sent for a number
    expect(tokens).to_have_text("Idle")
    assert page.evaluate("document.body.dataset.same") == "yes"


def test_a_chart_tells_its_values_by_keyboard_and_pointer(
    signed_in: Page, deployed: tuple[Console, int]
) -> None:
    page = signed_in
    page.goto(f"{deployed[0].url}/machine/?range=15m")
    chart = page.locator("[data-chart]").first
    drawing, readout = chart.locator("svg.chart"), chart.locator("[data-readout]")
    expect(chart).to_have_attribute("data-values", re.compile(r"\d"))
    said = re.compile(r"\d+(\.\d+)? % · \d\d:\d\d:\d\d$")
    drawing.focus()
    resting = readout.inner_text()
    page.keyboard.press("Home")
    expect(readout).to_have_text(re.compile(r"\d\d:\d\d:\d\d$"))
    first = readout.inner_text()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_have_text(first)
    page.keyboard.press("Escape")
    assert readout.inner_text() == resting
    x, y, width, height = place(drawing)
    values = (chart.get_attribute("data-values") or "").split("|")[0].split(" ")
    newest = max(number for number, value in enumerate(values) if re.match(r"\d", value))
    inset = float(drawing.evaluate("drawing => parseFloat(getComputedStyle(drawing).paddingInlineStart)"))
    page.mouse.move(x + inset + (width - inset) * (newest + 0.5) / len(values), y + height / 2)
    expect(readout).to_have_text(said)
    assert values[newest] in readout.inner_text()
    page.mouse.move(0, 0)
    expect(readout).not_to_have_text(said)


def test_a_chart_grows_by_itself_and_keeps_its_choices(
    signed_in: Page, deployed: tuple[Console, int]
) -> None:
    page = signed_in
    page.goto(f"{deployed[0].url}/machine/?range=15m")
    begin = page.locator("[data-chart]").first.get_attribute("data-begin")
    assert begin is not None
    expect(page.locator("[data-chart]").first).not_to_have_attribute("data-begin", begin)
    page.get_by_role("link", name="Tables").click()
    expect(page.locator(".chart-table").first).to_be_visible()
    expect(page).to_have_url(re.compile("range=15m&as=tables"))
    page.get_by_role("link", name="1 h", exact=True).click()
    expect(page).to_have_url(re.compile("range=1h&as=tables"))
    expect(page.locator(".chart-table tbody tr").first).to_be_visible()


def test_it_says_since_when_there_are_no_new_readings(page: Page, tmp_path: Path) -> None:
    console = Console(tmp_path / "data", LLMOPS_SAMPLE_EVERY="3600")
    try:
        console.start()
        console.make_administrator()
        page.goto(f"{console.url}/accounts/login/")
        page.locator("#id_username").fill("mia")
        page.locator("#id_password").fill("a-long-password")
        page.get_by_role("button", name="Sign in").click()
        note = page.get_by_text(re.compile(r"^\s*Numbers are from"))
        expect(note).to_be_visible()
        expect(note.locator("time")).to_have_attribute("datetime", re.compile(r"^\d{4}-"))
    finally:
        console.close()
