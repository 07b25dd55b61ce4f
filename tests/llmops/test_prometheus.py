"""A real Prometheus scrapes the console and an engine, with the configuration and the dashboard that we ship."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from instances.vllm import engines
from monitoring.prometheus import GPU
from tests.console import ROOT, Console, eventually

from .prometheus import SHIPPED, Prometheus

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="Prometheus is not installed (Debian: apt-get install prometheus)"
)
ENGINE_PAGE = (ROOT / "tests/monitoring/metrics.txt").read_text()  # of a real one
NAME = re.compile(r"\b((?:llmops|vllm)[_:][a-z0-9_:]+)")


def expressions() -> list[str]:
    """Of every panel, and of every alert."""
    dashboard = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = re.findall(r"^ *expr: (.+)$", (SHIPPED / "alerts.yml").read_text(), re.MULTILINE)
    assert len(shown) > 20 and len(alerts) > 5
    return [*shown, *alerts]


def filled(expression: str) -> str:
    """With what Grafana would put into it."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*")


def ask(console: Console, model: str) -> int:
    """The tokens of the answer, as the engine told the client."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    answer = console.api("POST", "/v1/chat/completions", json=body)
    assert answer.status_code == 200
    return int(answer.json()["usage"]["completion_tokens"])


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, Prometheus]]:
    console = Console(tmp_path_factory.mktemp("scraped") / "data")
    try:
        console.start()
        console.make_administrator()
        answer = console.api(
            "POST", "/api/models/deploy", json={"name": "tiny", "preset": "tiny-demo"}
        ).json()
        console.reaches(answer["id"], "running")
        ask(console, "tiny")
        with Prometheus(tmp_path_factory.mktemp("prometheus"), console) as prometheus:
            yield console, prometheus
    finally:
        console.close()


def test_it_scrapes_the_console_and_the_engine(scraped: tuple[Console, Prometheus]) -> None:
    _, prometheus = scraped
    for expression, value in (
        ('up{job="llmops"}', 1),
        ('up{job="vllm",instance="tiny"}', 1),
        ('llmops_instances{state="running"}', 1),
        ('llmops_instance_up{instance="tiny"}', 1),
        ('llmops_instance_requests_total{instance="tiny",finished_reason="stop"}', 1),
        ('vllm:num_requests_running{instance="tiny"}', 0),
        ('sum(llmops_http_first_byte_seconds_count{route="/v1/chat/completions"})', 1),
    ):
        eventually(partial(prometheus.is_value, expression, value), what=f"{expression} is {value}")


def test_it_accepts_every_expression_that_we_ship(scraped: tuple[Console, Prometheus]) -> None:
    _, prometheus = scraped
    eventually(lambda: prometheus.value("up"))
    for expression in expressions():
        prometheus.ask(filled(expression))


def test_every_name_in_them_is_on_our_page_or_an_engines(scraped: tuple[Console, Prometheus]) -> None:
    console, _ = scraped
    page = console.api("GET", "/metrics").text + ENGINE_PAGE
    known = set(re.findall(r"^([a-z_:]+[a-z0-9_]*)", page, re.MULTILINE))
    known |= set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    known |= {f"llmops_gpu_{name}" for name, *_ in GPU}  # which this machine may not have
    for expression in expressions():
        for name in NAME.findall(expression):
            assert name in known, name


def test_our_page_and_configuration_pass_its_own_checks(
    scraped: tuple[Console, Prometheus], tmp_path: Path
) -> None:
    console, _ = scraped
    page = console.api("GET", "/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    shutil.copytree(SHIPPED, tmp_path / "shipped")
    (tmp_path / "shipped" / "llmops.key").write_text("x")
    command = ["promtool", "check", "config", str(tmp_path / "shipped" / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "10 rules found" in done.stdout, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("alert", "series", "values"),
    [
        ("ConsoleDown", 'up{job="llmops"}', "1x5 0x5"),
        ("InstanceFailed", 'llmops_instances{state="error"}', "0x5 1x9"),
        ("InstanceRestarts", 'llmops_instance_restarts_total{instance="tiny"}', "0x5 1 2 3 4 4x3"),
        ("RequestsWait", 'llmops_instance_requests_waiting{instance="tiny"}', "0x2 3x12"),
        ("GpuLost", 'llmops_gpu_up{gpu="1"}', "1x5 0x5"),
        ("GpusMissing", "llmops_gpus", "2x5 0x5"),
        ("GpuSlowed", 'llmops_gpu_throttled{gpu="1"}', "0x3 1x9"),
    ],
)
def test_an_alert_fires_when_it_should_and_not_before(
    tmp_path: Path, alert: str, series: str, values: str
) -> None:
    def fired(given: str, expected: int) -> subprocess.CompletedProcess[str]:
        cases = {
            "rule_files": [str(SHIPPED / "alerts.yml")],
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [{"series": series, "values": given}],
                    "promql_expr_test": [
                        {
                            "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                            "eval_time": "12m",
                            "exp_samples": [{"labels": "{}", "value": expected}],
                        }
                    ],
                }
            ],
        }
        path = tmp_path / "cases.yml"
        path.write_text(json.dumps(cases))  # which is YAML too
        return subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True)

    calm = values.split()[0].split("x")[0] + "x13"
    for given, expected in ((values, 1), (calm, 0)):
        done = fired(given, expected)
        assert done.returncode == 0, done.stderr + done.stdout


def test_engines_are_listed_and_relayed_only_to_who_has_a_key(scraped: tuple[Console, Prometheus]) -> None:
    console, _ = scraped
    (target,) = console.api("GET", "/api/system/targets").json()
    assert target["targets"] == [console.url.removeprefix("http://")]
    path = target["labels"]["__metrics_path__"]
    answer = console.api("GET", path)
    assert answer.headers["content-type"].startswith("text/plain") and "vllm:" in answer.text
    for address in ("/api/system/targets", path, "/metrics"):
        assert httpx.get(console.url + address).status_code == 401


@pytest.mark.engine
def test_it_scrapes_a_real_engine(tmp_path: Path, real_engine: engines.Engine) -> None:
    console = Console(tmp_path / "data", vllm=real_engine.path)
    try:
        console.start()
        console.make_administrator()
        body: dict[str, Any] = {"name": "real", "preset": "tiny-demo"}
        console.reaches(
            console.api("POST", "/api/models/deploy", json=body).json()["id"], "running", within=180
        )
        (tmp_path / "prometheus").mkdir()
        with Prometheus(tmp_path / "prometheus", console) as prometheus:
            counted = 'llmops_instance_generation_tokens_total{instance="real"}'
            before = eventually(
                partial(prometheus.value, f"{counted} >= 1"), what=counted
            )  # of our own trial
            assert before is not None
            said = sum(ask(console, "real") for _ in range(3))
            exactly = f"{counted} == {before + said}"
            eventually(partial(prometheus.value, exactly), what=exactly)
            first = 'vllm:time_to_first_token_seconds_count{instance="real"} >= 4'
            eventually(partial(prometheus.value, first), what=first)
            for expression in expressions():
                prometheus.ask(filled(expression))
    finally:
        console.close()
