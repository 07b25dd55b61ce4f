"""What a browser sees of a console, for `benchmarks.headline`: the first page, its weight, and Lighthouse's marks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.console import Console, free_port

CHROMIUM = shutil.which("chromium") or "chromium"
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmops-bench"
LIGHTHOUSE = "lighthouse@12"


def row(figure: str, here: str, goal: str, beside: str = "", ratio: str = "") -> None:
    print(f"| {figure} | {here} | {goal} | {beside} | {ratio} |", flush=True)


def _visit(
    browser: Browser, console: Console, cookies: Any, path: str
) -> tuple[float, int, list[tuple[int, str]]]:
    """Milliseconds until something is drawn, bytes on the wire, and what they are; nothing is cached."""
    context = browser.new_context()
    context.add_cookies(cookies)
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, int] = {}
    network.on(
        "Network.responseReceived", lambda one: names.update({one["requestId"]: one["response"]["url"]})
    )
    network.on(
        "Network.loadingFinished", lambda one: sizes.update({one["requestId"]: int(one["encodedDataLength"])})
    )
    page.goto(console.url + path, wait_until="load")
    page.wait_for_timeout(300)
    drawn = page.evaluate(
        "(performance.getEntriesByName('first-contentful-paint')[0] || performance.timing).startTime"
        " ?? performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    context.close()
    found = sorted(((size, names.get(one, "?")) for one, size in sizes.items()), reverse=True)
    return float(drawn), sum(sizes.values()), found


def _cookies(console: Console) -> Any:
    """Of a person who is signed in, as Playwright takes them."""
    client = console.signed_in("mia", "a-long-password")
    return [{"name": name, "value": value, "url": console.url} for name, value in client.cookies.items()]


def first_page(console: Console, *, quick: bool) -> None:
    cookies = _cookies(console)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        visits = [_visit(browser, console, cookies, "/") for _ in range(3 if quick else 7)]
        empty = median(_visit(browser, console, cookies, "/healthz")[0] for _ in range(3))
        browser.close()
    drawn, weight = median(one[0] for one in visits), median(one[1] for one in visits)
    row(
        "First page drawn, nothing cached",
        f"{drawn:.0f} ms",
        "800 ms",
        f"{empty:.0f} ms, /healthz",
        f"{drawn / empty:.1f}",
    )
    largest = ", ".join(f"{_name(url)} {size / 1000:.1f}" for size, url in visits[0][2][:4])
    row("Page weight on the wire", f"{weight / 1000:.0f} KB", "60 KB", f"largest: {largest}")


def lighthouse(console: Console) -> None:
    if not shutil.which("npx"):
        row("Lighthouse", "left out: no npx", "100")
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        # In a browser that is signed in: as a header the cookie would not reach the page's socket.
        flags = [*CHROMIUM_FLAGS, f"--remote-debugging-port={port}"]
        context = playwright.chromium.launch_persistent_context(
            f"{folder}/profile", executable_path=CHROMIUM, args=flags
        )
        context.add_cookies(_cookies(console))
        report = Path(folder) / "report.json"
        command = [
            *("npx", "--yes", LIGHTHOUSE, f"{console.url}/", "--quiet", "--preset=desktop"),
            *("--output=json", f"--output-path={report}", f"--port={port}", "--disable-storage-reset"),
        ]
        environment = {**os.environ, "npm_config_cache": str(CACHE)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        context.close()
        if not report.exists():
            row(
                "Lighthouse",
                f"left out: {(done.stderr.strip().splitlines() or ['no report'])[-1][:80]}",
                "100",
            )
            return
        found = json.loads(report.read_text())
    for category in found["categories"].values():
        audits = (found["audits"][one["id"]] for one in category["auditRefs"] if one["weight"])
        lacking = [_lacking(one) for one in audits if one["score"] is not None and one["score"] < 0.9]
        score = f"{100 * (category['score'] or 0):.0f}"
        row(f"Lighthouse, {category['title']}", score, "100", "; ".join(lacking)[:120])


def _lacking(audit: dict[str, Any]) -> str:
    items = (audit.get("details") or {}).get("items") or [{}]
    return f"{audit['title']} {items[0].get('description', '')}".strip()


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1][:28] or "the page"
