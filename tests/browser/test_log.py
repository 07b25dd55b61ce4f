"""The log in a real browser, live and searched, on a real console with the fake engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import ClientConnection, connect

from tests.console import Console, eventually

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=document.title='owned'> needle"
HEAD = "INFO 11-25 03:54:48 [loggers.py:123]"
LINES = [
    *(f"{HEAD} Engine 000: step {n}, running: 3 reqs, waiting: 0 reqs" for n in range(700)),
    f"WARNING 11-25 03:54:49 [serving.py:88] {EVIL}",
    "ERROR:    Exception in ASGI application",
    "Traceback (most recent call last):",
    '  File "/opt/engine/impl.py", line 416, in run_asgi',
    "ValueError: no prompt, needle two",
    *(f"{HEAD} Engine 000: step {n}, running: 3 reqs, waiting: 0 reqs" for n in range(700, 1400)),
]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    folder = Path(tmp_path_factory.mktemp("log"))
    (folder / "said").write_text("\n".join(LINES) + "\n")
    console = Console(folder / "data")
    console.start()
    console.make_administrator()
    body = {"name": "tiny", "preset": "tiny-demo", "env": {"FAKE_VLLM_LOG_FILE": str(folder / "said")}}
    instance_id = console.api("POST", "/api/models/deploy", json=body).json()["id"]
    console.reaches(instance_id, "running")
    yield console, instance_id
    console.close()


def test_a_search_marks_its_hits_and_the_keyboard_goes_through_them(
    signed_in: Page, deployed: tuple[Console, int]
) -> None:
    console, instance_id = deployed
    page = signed_in
    page.goto(f"{console.url}/instances/{instance_id}/logs/")
    state, lines, count = (
        page.locator("#log-state"),
        page.locator(".log li[id^=at-]"),
        page.locator("#log-count"),
    )
    expect(state).to_have_text("live")
    expect(lines.last).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("NEEDLE")
    expect(count).to_have_text("2 hits")
    expect(page.locator(".log mark")).to_have_text(["needle", "needle"])
    expect(lines.first).to_contain_text(EVIL)
    assert page.title() != "owned"
    expect(page.locator("#log-search")).to_be_focused()
    for key, nth in (("Enter", 1), ("Enter", 2), ("Enter", 1), ("Shift+Enter", 2)):
        page.keyboard.press(key)
        expect(count).to_have_text(f"{nth} of 2 hits")
        expect(lines.nth(nth - 1)).to_have_class(re.compile("here"))
    page.get_by_role("button", name="Next hit").click()
    expect(count).to_have_text("1 of 2 hits")
    page.reload()
    expect(page.locator(".log mark")).to_have_count(2)
    page.locator("#log-search").press("Escape")
    expect(state).to_have_text("live")
    expect(page.locator(".log mark")).to_have_count(0)
    expect(lines.last).to_be_in_viewport()
    # one that has just been written comes by itself, so it follows again
    before = lines.last.get_attribute("id")
    console.api("GET", "/healthz")
    completion = {"model": "tiny", "prompt": "hello", "max_tokens": 1}
    assert console.api("POST", "/v1/completions", json=completion).status_code == 200
    eventually(lambda: lines.last.get_attribute("id") != before, what="a new line")


def test_levels_the_first_error_and_a_link_to_a_line(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, instance_id = deployed
    page = signed_in
    page.goto(f"{console.url}/instances/{instance_id}/")
    lines = page.locator(".log li[id^=at-]")
    page.get_by_role("link", name="Errors", exact=True).click()
    expect(page.locator("#log-level-error")).to_have_attribute("aria-current", "true")
    expect(lines.first).to_contain_text("Exception in ASGI application")
    expect(lines).to_have_count(4)
    page.get_by_role("link", name="First error").click()
    here = page.locator(".log .here")
    expect(here).to_contain_text("Exception in ASGI application")
    expect(here).to_be_in_viewport()
    expect(lines).to_have_count(200)
    above, place = page.locator(".log").evaluate("e => e.scrollTop"), here.bounding_box()
    page.locator(".log").evaluate("e => { e.scrollTop = 0 }")
    first = lines.first
    name = first.get_attribute("id")
    page.get_by_role("link", name="Earlier lines").click()
    expect(lines).to_have_count(400)
    expect(page.locator(f"#{name}")).to_be_in_viewport()  # what was read has not moved
    assert above > 0 and place
    page.get_by_role("link", name="Later lines").click()
    expect(lines).to_have_count(600)
    # the link of a line, opened by somebody else
    link = lines.filter(has_text="step 702,").get_by_role("link")
    assert link.get_attribute("title") == "Link to this line"
    other = page.context.new_page()
    other.goto(console.url + (link.get_attribute("href") or ""))
    expect(other.locator(".log .here")).to_contain_text("step 702,")
    expect(other.locator(".log .here")).to_be_in_viewport()
    other.close()


def test_all_of_it_works_without_scripts(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, instance_id = deployed
    browser = signed_in.context.browser
    assert browser
    plain = browser.new_context(java_script_enabled=False, storage_state=signed_in.context.storage_state())
    page = plain.new_page()
    page.goto(f"{console.url}/instances/{instance_id}/logs/")
    page.locator("#log-search").fill("needle")
    page.locator("#log-search").press("Enter")
    expect(page.locator(".log mark")).to_have_count(2)
    page.get_by_role("link", name="Errors", exact=True).click()
    expect(page.locator(".log mark")).to_have_count(1)
    page.get_by_role("link", name="First error").click()
    expect(page.locator(".log .here")).to_be_in_viewport()
    page.get_by_role("link", name="Earlier lines").click()
    expect(page.locator(".log li[id^=at-]")).to_have_count(200)
    plain.close()


def test_the_toolbar_fits_a_phone(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, instance_id = deployed
    for width in (390, 320):
        signed_in.set_viewport_size({"width": width, "height": 844})
        for query in ("", "?q=needle", "?level=error"):
            signed_in.goto(f"{console.url}/instances/{instance_id}/logs/{query}")
            wide = signed_in.evaluate("document.documentElement.scrollWidth - innerWidth")
            out = signed_in.evaluate(
                "[...document.querySelectorAll('#instance-log .card-head *')].filter(e =>"
                " e.getBoundingClientRect().right > innerWidth).length"
            )
            assert (wide, out) == (0, 0), (width, query)


def batch(socket: ClientConnection, timeout: float) -> dict[str, object] | None:
    try:
        answer: dict[str, object] = json.loads(socket.recv(timeout))
    except TimeoutError:
        return None
    return answer


# row 28: a viewer that never reads
def test_a_viewer_that_never_answers_is_sent_eight_batches_and_holds_up_nobody(
    deployed: tuple[Console, int],
) -> None:
    console, _ = deployed
    body = {"name": "loud", "preset": "tiny-demo", "env": {"FAKE_VLLM_LOG_FLOOD": "8"}}
    loud = console.api("POST", "/api/models/deploy", json=body).json()["id"]
    address = f"ws://127.0.0.1:{console.port}/api/models/ws/logs/{loud}"
    bearer = {"Authorization": f"Bearer {console.key}"}
    with (
        connect(address, additional_headers=bearer, max_size=None) as dead,
        connect(address, additional_headers=bearer, max_size=None) as lively,
    ):
        console.reaches(loud, "running")
        seen, at = 0, 0
        while seen < 8_000_000 and (got := batch(lively, 20)):
            lively.send(json.dumps({"ack": got["seq"]}))
            assert isinstance(got["next_offset"], int) and got["next_offset"] >= at
            seen = at = got["next_offset"]
        assert seen >= 8_000_000
        sent = []
        while got := batch(dead, 2):
            sent.append(got["seq"])
        assert sent == [1, 2, 3, 4, 5, 6, 7, 8]
