"""Does this launch's own engine answer, and does it do its work?

Never by reading log lines, which a flag can silence. The key proves who answers: vLLM binds with SO_REUSEPORT,
so a stale engine can share the port and answer for ours.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import httpx

TIMEOUT = 3.0  # seconds
FIRST_WORK_TIMEOUT = 60.0  # seconds; the first real request may compile
CHECKERS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="health")  # so many engines may hang at once

# One small request of each task that an engine may serve; the first that it knows decides.
COMPLETIONS = "/v1/completions"
WORK: tuple[tuple[str, dict[str, Any]], ...] = (
    (COMPLETIONS, {"prompt": "Hi", "max_tokens": 1, "temperature": 0}),
    ("/v1/embeddings", {"input": "Hi"}),
    ("/score", {"text_1": "Hi", "text_2": "Hello"}),
)


@dataclass(frozen=True)
class Endpoint:
    """Where an engine should answer, and as whom."""

    launch_id: int
    base_url: str
    key: str
    served_name: str


@dataclass(frozen=True)
class Answer:
    ok: bool
    why: str = ""  # in words, when not ok
    foreign: bool = False  # somebody else answered
    complaint: str = ""  # what a well engine said when it was asked to chat


async def is_healthy(endpoint: Endpoint) -> Answer:
    """Whether /health answers 200 within the time.

    Asked by the standard library's client, over a connection of its own: a fifth of what httpx takes for it, and
    for an idle console this is most of the work. A kept connection would lead to the same of two who share a port.
    """
    connection = HTTPConnection(urlsplit(endpoint.base_url).netloc, timeout=TIMEOUT)
    try:
        async with asyncio.timeout(TIMEOUT):  # for the whole answer; the client's own counts each read
            status = await asyncio.get_running_loop().run_in_executor(CHECKERS, _status, connection)
    except (OSError, HTTPException) as error:
        return Answer(False, f"/health does not answer ({type(error).__name__})")
    finally:
        _abandon(connection)
    return Answer(status == 200, f"/health answers {status}")


def _status(connection: HTTPConnection) -> int:
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def _abandon(connection: HTTPConnection) -> None:
    """Let a thread that still waits for the answer go."""
    if (waiting := connection.sock) is not None:
        with suppress(OSError):
            waiting.shutdown(socket.SHUT_RDWR)


async def is_ready(client: httpx.AsyncClient, endpoint: Endpoint) -> Answer:
    """Health, our key, our model's name, and one real request of the engine's own task."""
    # Each time a connection of its own, as above.
    headers = {"Authorization": f"Bearer {endpoint.key}", "Connection": "close"}
    health = await is_healthy(endpoint)
    if not health.ok:
        return health
    try:
        models = await client.get(f"{endpoint.base_url}/v1/models", headers=headers, timeout=TIMEOUT)
        if models.status_code != 200:
            return Answer(
                False, f"/v1/models answers {models.status_code}", foreign=models.status_code == 401
            )
        found = models.json()
        served = found.get("data", []) if isinstance(found, dict) else []
        names = {model.get("id") for model in served if isinstance(model, dict)}
        if endpoint.served_name not in names:
            return Answer(False, "the engine on its port serves another model", foreign=True)
        for path, body in WORK:
            response = await client.post(
                endpoint.base_url + path,
                headers=headers,
                json={"model": endpoint.served_name, **body},
                timeout=FIRST_WORK_TIMEOUT,
            )
            if response.status_code == 200:
                complains = path == COMPLETIONS and await _complaint_about_chat(client, endpoint, headers)
                return Answer(True, complaint=complains or "")
            if response.status_code not in (400, 404, 405, 501):
                break
    except (httpx.HTTPError, ValueError) as error:
        return Answer(False, f"the first request failed ({type(error).__name__})")
    return Answer(False, f"the first request was answered {response.status_code}")


async def _complaint_about_chat(
    client: httpx.AsyncClient, endpoint: Endpoint, headers: Mapping[str, str]
) -> str:
    """Empty when a chat works too. A model without a template completes and does not chat, and no log says so."""
    body = {"model": endpoint.served_name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    response = await client.post(
        f"{endpoint.base_url}/v1/chat/completions", headers=headers, json=body, timeout=FIRST_WORK_TIMEOUT
    )
    return "" if response.status_code == 200 else response.text[:2000]
