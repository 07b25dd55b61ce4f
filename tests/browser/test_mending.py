"""From a failure to the form with the advised change made, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console import Console

pytestmark = pytest.mark.browser
LOG = (
    "(EngineCore_DP0 pid=1094) ValueError: To serve at least one request with the models's max seq len (262144), "
    "(24.0 GiB KV cache is needed, which is larger than the available KV cache memory (3.18 GiB). Based on the "
    "available memory, the estimated maximum model length is 34736. Try increasing `gpu_memory_utilization`.\n"
)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, int]]:
    folder = Path(tmp_path_factory.mktemp("mending"))
    (folder / "said").write_text(LOG)
    console = Console(folder / "data")
    console.start()
    console.make_administrator()
    knobs = {"LOG_FILE": str(folder / "said"), "EXIT_CODE": "1", "EXIT_PHASE": "memory"}
    env = {f"FAKE_VLLM_{name}": value for name, value in knobs.items()}
    body = {"name": "long", "preset": "tiny-demo", "max_model_len": 262144, "env": env}
    instance_id = console.api("POST", "/api/models/deploy?force=true", json=body).json()["id"]
    console.reaches(instance_id, "error")
    yield console, instance_id
    console.close()


def test_the_button_of_a_failure_opens_the_form_with_the_number_that_fits(
    signed_in: Page, deployed: tuple[Console, int]
) -> None:
    console, instance_id = deployed
    page = signed_in
    page.goto(f"{console.url}/instances/{instance_id}/")
    expect(page.locator("#instance-overview")).to_contain_text("about 34,736 tokens fit")
    page.locator("#instance-overview").get_by_role("link", name="Set the context length to 34,688").click()
    expect(page.locator("#id_max_model_len")).to_have_value("34688")
    expect(page.locator("main")).to_contain_text(
        "Context length set to 34,688, as launch 1's failure advises."
    )
    page.get_by_role("button", name="Save and start").click()
    page.get_by_role("button", name="Deploy all the same").click()  # the demo's own context is shorter
    page.wait_for_url(re.compile(rf"/instances/{instance_id}/"))
    newest = console.api("GET", f"/api/models/{instance_id}/revisions").json()[0]
    assert newest["configuration"]["max_model_len"] == 34688


def test_the_evidence_leads_to_its_line_in_the_log(signed_in: Page, deployed: tuple[Console, int]) -> None:
    console, instance_id = deployed
    page = signed_in
    page.goto(f"{console.url}/instances/{instance_id}/")
    page.get_by_role("link", name="See it in the log").click()
    expect(page.locator("li:target")).to_contain_text("estimated maximum model length is 34736")
