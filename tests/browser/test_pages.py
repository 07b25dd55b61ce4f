"""Every page in a real browser, with the fake engine: no script fails, the content policy holds, nothing overflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.console import Console, eventually

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    console = Console(Path(tmp_path_factory.mktemp("pages")) / "data")
    console.start()
    console.make_administrator()
    body = {"name": "tiny", "preset": "tiny-demo"}
    instance_id = console.api("POST", "/api/models/deploy", json=body).json()["id"]
    console.reaches(instance_id, "running")
    yield console, instance_id
    console.close()


PAGES = (
    "/",
    "/deploy/",
    "/instances/{id}/",
    "/instances/{id}/logs/",
    "/instances/{id}/metrics/",
    "/instances/{id}/history/",
    "/instances/{id}/configuration/",
    "/machine/",
    "/models/",
    "/engines/",
    "/deploy/paste/",
    "/chat/",
    "/history/",
    "/keys/",
    "/api/docs",
    "/no-such-page/",
)


@pytest.mark.parametrize("width", [1440, 390, 320])
def test_every_page_is_whole_and_nothing_scrolls_sideways(
    signed_in: Page, deployed: tuple[Console, int], width: int
) -> None:
    console, instance_id = deployed
    signed_in.set_viewport_size({"width": width, "height": 844})
    for path in PAGES:
        signed_in.goto(console.url + path.format(id=instance_id))
        signed_in.wait_for_load_state()
        if path == "/api/docs":
            expect(signed_in.locator("body")).to_contain_text("/api/models/deploy")
            continue
        assert signed_in.locator("h1").count() == 1, path
        wide = signed_in.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{path} is {wide} px too wide"
        twice = signed_in.evaluate(
            "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, n, all) => all.indexOf(id) !== n)"
        )
        assert not twice, f"{path} has ids twice: {twice}"


LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
IN_A_LINE = 'title="Link to this line"'  # as high as its line of a log, which is WCAG's exception to 24 px


@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_every_page_keeps_wcag_aa(signed_in: Page, deployed: tuple[Console, int], theme: str) -> None:
    console, instance_id = deployed
    signed_in.get_by_role("button", name=theme).first.click()
    for path in PAGES:
        if path == "/api/docs":
            continue  # a page of its framework
        signed_in.goto(console.url + path.format(id=instance_id))
        expect(signed_in.locator("h1")).to_be_visible()
        for width in (1440, 390):
            signed_in.set_viewport_size({"width": width, "height": 844})
            violations = Axe().run(signed_in, options={"runOnly": LEVELS}).response["violations"]
            wrong = {
                (broken["id"], node["html"][:200])
                for broken in violations
                for node in broken["nodes"]
                if not (broken["id"] == "target-size" and IN_A_LINE in node["html"])
            }
            assert not wrong, f"{path} at {width} px: {wrong}"


def test_the_theme_is_kept(signed_in: Page, deployed: tuple[Console, int]) -> None:
    signed_in.get_by_role("button", name="Light").first.click()
    expect(signed_in.locator("html")).to_have_attribute("data-theme", "light")
    signed_in.reload()
    expect(signed_in.locator("html")).to_have_attribute("data-theme", "light")


def test_a_stop_of_the_answer_stops_the_engines_work_too(
    signed_in: Page, deployed: tuple[Console, int]
) -> None:
    console, _instance_id = deployed
    slow = {
        "name": "slow",
        "preset": "tiny-demo",
        "env": {"FAKE_VLLM_TOKEN_DELAY": "0.2", "FAKE_VLLM_TOKENS": "900"},
    }
    slow_id = console.api("POST", "/api/models/deploy", json=slow).json()["id"]
    console.reaches(slow_id, "running")
    signed_in.goto(f"{console.url}/chat/new/?instance={slow_id}")
    signed_in.get_by_role("textbox", name="Message").fill("Go on for ever")
    signed_in.keyboard.press("Enter")
    answer = signed_in.locator(".msg").last
    expect(answer).to_contain_text("said")
    signed_in.get_by_role("button", name="Stop").click()
    expect(signed_in.locator(".msg[aria-busy]")).to_have_count(0)
    expect(answer).to_contain_text("Stopped")

    def running_requests() -> bool:
        metrics = console.api("GET", f"/api/models/{slow_id}/metrics").text
        line = next(line for line in metrics.splitlines() if line.startswith("vllm:num_requests_running"))
        return float(line.split()[-1]) == 0

    assert eventually(running_requests, within=10)


def test_removing_asks_first(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, _instance_id = deployed
    body = {"name": "to-go", "preset": "tiny-demo", "start": False}
    console.api("POST", "/api/models/deploy", json=body)
    signed_in.goto(f"{console.url}/?show=all")
    card = signed_in.locator(".card.instance", has_text="to-go")
    card.get_by_role("link", name="Remove").click()
    dialog = signed_in.get_by_role("dialog")
    expect(dialog).to_contain_text("to-go")
    dialog.get_by_role("button", name="Remove").click()
    expect(signed_in.locator(".card.instance", has_text="to-go")).to_have_count(0)
