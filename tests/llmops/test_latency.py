from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llmops.latency import Timed, latency, route_of


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/instances/7/", "/instances/<int:pk>/"),
        ("/api/models/7/metrics", "/api/models/<int:instance_id>/metrics"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/models", "/v1/models"),
        ("/static/css/base.abc.css", "/static/"),
        ("/v1/other", "unknown"),
        ("/wp-admin/setup.php", "unknown"),
    ],
)
def test_a_path_is_counted_by_its_pattern(path: str, route: str) -> None:
    assert route_of(path) == route


def test_an_answer_is_timed_to_its_head_and_passed_on_unchanged() -> None:
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.response.start", "status": 404}, {"type": "http.response.body", "body": b"x"}]

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def take(message: dict[str, Any]) -> None:
        sent.append(message)

    registry = CollectorRegistry()
    registry.register(latency)
    labels = {"route": "unknown", "method": "other", "status": "4xx"}
    before = registry.get_sample_value("llmops_http_first_byte_seconds_count", labels) or 0
    asyncio.run(Timed(inside)({"type": "http", "method": "BREW", "path": "/pot"}, None, take))
    assert sent == messages
    assert registry.get_sample_value("llmops_http_first_byte_seconds_count", labels) == before + 1
