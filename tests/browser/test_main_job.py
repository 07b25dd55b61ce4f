"""What a person does, on the real engine, from the set-up address to the proved stop."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from instances.vllm.engines import Engine
from tests.console import Console, eventually

pytestmark = [pytest.mark.engine, pytest.mark.browser]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, real_engine: Engine) -> Iterator[Console]:
    """A console with the real engine, on empty data."""
    console = Console(Path(tmp_path_factory.mktemp("main-job")) / "data", vllm=real_engine.path)
    console.start()
    yield console
    console.close()


def descendants(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def test_from_the_setup_address_to_the_proved_stop(real: Console, page: Page) -> None:
    # Set-up: the address that the terminal shows
    page.goto(next(word for word in real.output.split() if "/setup/?token=" in word))
    page.get_by_label("User name").fill("mia")
    page.locator("#id_password").fill("a-long-password")
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("heading", name="Deploy your first model")).to_be_visible()

    # Sign out, sign in
    page.get_by_role("button", name="Sign out").first.click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("User name").fill("mia")
    page.locator("#id_password").fill("a-long-password")
    page.get_by_role("button", name="Sign in").click()

    # The empty dashboard teaches, and its cards move by themselves
    system = page.locator("#system")
    for card in ("CPU", "Memory", "Disk", "GPU"):
        expect(system).to_contain_text(card)
    before = system.inner_text()
    eventually(lambda: system.inner_text() != before, what="the readings move")

    # Deploy: a mistake stands beside its field and what was typed is kept
    page.get_by_role("link", name="Pick a model").click()
    page.get_by_label("Name", exact=False).first.fill("Tiny!")
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(page.locator("#id_name_error")).to_contain_text("a-z 0-9")
    expect(page.locator("#id_name")).to_have_value("Tiny!")
    page.locator("#id_name").fill("tiny")
    page.get_by_role("button", name="Deploy", exact=True).dblclick()
    page.wait_for_url(re.compile(r"/instances/\d+/"))

    # The state moves by itself, the phase in words, and the log flows in
    head = page.locator("#instance-head")
    expect(head).to_contain_text("Starting")
    log = page.locator(".log li")
    expect(log.first).to_be_visible(timeout=120_000)  # the first line comes after the imports
    expect(page.get_by_text("Import", exact=False).first).to_be_visible()
    expect(head).to_contain_text("Running", timeout=240_000)
    expect(page.locator("body")).to_contain_text("/v1/chat/completions")
    expect(log.filter(has_text="Application startup complete.")).to_have_count(1)
    shown = [line for line in log.all_inner_texts() if line.strip()]
    page.reload()
    expect(log.filter(has_text="Application startup complete.")).to_have_count(1)
    again = [line for line in log.all_inner_texts() if line.strip()]
    assert again[-20:] == shown[-20:] or set(shown[-20:]) <= set(again)
    real.make_key("mia")
    (instance,) = real.api("GET", "/api/models/list").json()
    pids = descendants(instance["launch"]["pid"])

    # Chat: Shift+Enter breaks the line, Enter sends, the answer streams in
    head.get_by_role("link", name="Chat").click()
    box = page.get_by_role("textbox", name="Message")
    box.fill("Tell me")
    box.press("Shift+Enter")
    assert box.input_value() == "Tell me\n"
    box.fill("What is the capital of Japan?")
    box.press("Enter")
    expect(page.locator(".msg").last).to_contain_text("Tokyo")
    expect(page.locator(".msg[aria-busy]")).to_have_count(0)
    steps = watch_answer(page, "Tell me about this console")
    assert len(steps) >= 3, steps
    page.reload()
    expect(page.locator(".msg.mine")).to_have_count(2)
    expect(page.locator("#messages")).to_contain_text("Tokyo")

    # Stop: STOPPED only when the whole tree is gone
    page.goto(f"{real.url}/instances/{instance['id']}/")
    head.get_by_role("button", name="Stop", exact=True).click()
    expect(head).to_contain_text("Stopped", timeout=60_000)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]

    # History: who, when, time to ready, how it ended, exit code, its log
    page.goto(f"{real.url}/history/")
    row = page.locator("tbody tr").first
    for text in ("tiny", "Stopped by mia", "Deploy", "mia", " s"):
        expect(row).to_contain_text(text)
    page.goto(f"{real.url}/admin/instances/launch/")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def watch_answer(page: Page, question: str) -> list[str]:
    """The different texts of the answer while it was being written, as the page itself sees them."""
    said = page.locator(".msg").count()
    page.evaluate(
        """said => {
            window.steps = [];
            new MutationObserver(() => {
                const text = document.querySelectorAll(".msg")[said + 1]?.textContent.trim();
                if (text && text !== window.steps.at(-1)) window.steps.push(text);
            }).observe(document.querySelector("#messages"), {childList: true, subtree: true, characterData: true});
        }""",
        said,
    )
    box = page.get_by_role("textbox", name="Message")
    box.fill(question)
    box.press("Enter")
    expect(page.locator(".msg")).to_have_count(said + 2)
    expect(page.locator(".msg[aria-busy]")).to_have_count(0, timeout=60_000)
    steps: list[str] = page.evaluate("window.steps")
    return steps


# row 1: SIGKILL the whole console while the real engine is RUNNING
def test_the_same_by_the_api_and_a_killed_console(real: Console) -> None:
    if not real.key:
        real.make_administrator()
    name = "tiny-by-api"
    instance_id = real.api("POST", "/api/models/deploy", json={"name": name, "preset": "tiny-demo"}).json()[
        "id"
    ]
    before = real.reaches(instance_id, "running", within=240)["launch"]
    pids = descendants(before["pid"])
    question = {"model": name, "messages": [{"role": "user", "content": "What is the capital of Japan?"}]}
    answer = real.api("POST", "/v1/chat/completions", json=question).json()
    assert "Tokyo" in answer["choices"][0]["message"]["content"]
    longer = {"stream": True, "messages": [{"role": "user", "content": "Tell me about this console"}]}
    streamed = real.api("POST", "/v1/chat/completions", json={**question, **longer})
    chunks = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert chunks[-1] == "[DONE]"
    parts = [
        json.loads(chunk)["choices"][0]["delta"].get("content") for chunk in chunks[:-1] if '"delta"' in chunk
    ]
    assert len([part for part in parts if part]) >= 3

    def log() -> list[dict[str, object]]:
        lines: list[dict[str, object]] = real.api(
            "GET", f"/api/models/{instance_id}/logs?offset=0&limit=10000"
        ).json()["lines"]
        return lines

    lines = log()
    real.end(signal.SIGKILL)
    assert httpx.get(f"http://127.0.0.1:{before['port']}/health", timeout=5).status_code == 200
    real.start()
    after = real.reaches(instance_id, "running", within=5)["launch"]
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    assert log()[: len(lines)] == lines
    real.api("POST", f"/api/models/{instance_id}/stop")
    ended = real.reaches(instance_id, "stopped", within=60)["launch"]
    assert ended["exit_code"] == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
