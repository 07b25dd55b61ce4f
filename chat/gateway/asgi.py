"""The OpenAI-compatible address, in front of Django: a token passes no middleware."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http.request import split_domain_port, validate_host

from ..targets import NotRunning, Target, UnknownModel, find_target, running_targets
from ..upstream import EngineGone, EngineRedirects, ask_engine
from .cors import cors_headers, preflight_headers
from .errors import Headers, Refusal, error_body, unavailable
from .keys import require_key

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Any  # an ASGI application: the packages that make them do not agree on its type

RELAYED = {  # our path -> the engine's; nothing else of an engine can be reached
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/api/chat/completions": "/v1/chat/completions",
}
MODELS = "/v1/models"
LARGEST_BODY = 20 * 1024 * 1024  # bytes; pictures travel inside it
LARGEST_ANSWER = 64 * 1024 * 1024  # bytes, of an answer that does not stream
RETRY_AFTER = 10  # seconds; about as long as a small model takes to start
DATABASE_BACK_AFTER = 3  # seconds
PASSED_UP = (b"content-type", b"accept")


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class Gateway:
    """Takes what belongs to OpenAI's API, and hands everything else to Django untouched.

    Guarantees: the body reaches the engine, and the engine's answer the client, byte for byte; of the
    client's headers only two; when the client leaves, the engine's connection is closed at once, before
    the first token as well.
    """

    def __init__(self, django: App) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path != "/v1" and not path.startswith("/v1/") and path not in RELAYED:
            await self._django(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}
        try:
            with _telling_of_outages():
                await _answer(scope, headers, receive, send)
        except Refusal as refusal:
            await _send_json(send, refusal.status, refusal.body, [*refusal.headers, *cors_headers(headers)])
        except ClientLeft:
            pass


@contextmanager
def _telling_of_outages() -> Iterator[None]:
    """All that the gateway asks the database, it asks before the answer begins."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        log.warning("the database does not answer: %s", str(error).strip())
        message = "The database does not answer. Engines go on; try again in a few seconds."
        after = [(b"retry-after", str(DATABASE_BACK_AFTER).encode())]
        raise Refusal(
            503, message, kind="service_unavailable", code="database_unavailable", headers=after
        ) from error


async def _answer(scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
    path, method = scope["path"], scope["method"]
    _check_host(scope["headers"])
    if method == "OPTIONS":
        await send({"type": "http.response.start", "status": 204, "headers": preflight_headers(headers)})
        await send({"type": "http.response.body", "body": b""})
        return
    await require_key(headers)
    if path != MODELS and path not in RELAYED:
        raise Refusal(404, f"There is no {method} {path[:200]} here.", code="unknown_url")
    allowed = "GET" if path == MODELS else "POST"
    if method != allowed:
        message = f"{path} takes {allowed}, not {method}."
        raise Refusal(405, message, code="method_not_allowed", headers=[(b"allow", allowed.encode())])
    if path == MODELS:
        return await _send_json(send, 200, await database_sync_to_async(_models)(), cors_headers(headers))
    body = await _read_body(headers, receive)
    target = await _find(_model_in(body))
    await _relay(target, RELAYED[path], body, headers, receive, send)


def _check_host(raw: list[tuple[bytes, bytes]]) -> None:
    hosts = [value.decode("latin-1") for name, value in raw if name == b"host"]
    domain, _ = split_domain_port(hosts[0]) if len(hosts) == 1 else ("", "")
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        raise Refusal(400, "This Host is not one of ours. See LLMOPS_ALLOWED_HOSTS.", code="invalid_host")


async def _read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > LARGEST_BODY:
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        size += len(piece)
        if size > LARGEST_BODY:
            raise _too_large()
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_large() -> Refusal:
    message = f"The request is larger than {LARGEST_BODY // 1024 // 1024} MiB."
    return Refusal(413, message, code="request_too_large", headers=[(b"connection", b"close")])


def _model_in(body: bytes) -> str:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "The body is not valid JSON.", code="invalid_json") from error
    model = request.get("model") if isinstance(request, dict) else None
    if not isinstance(model, str) or not model:
        raise Refusal(
            400, "The body must be an object that names a `model`.", param="model", code="model_missing"
        )
    return model


async def _find(model: str) -> Target:
    try:
        return await database_sync_to_async(find_target)(model)
    except UnknownModel as error:
        raise Refusal(404, str(error), param="model", code="model_not_found") from error
    except NotRunning as error:
        raise unavailable(str(error), retry_after=RETRY_AFTER) from error


def _models() -> bytes:
    """Served names, each once."""
    since = {target.served_name: target.since for target in reversed(running_targets())}
    return json.dumps(
        {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "created": created, "owned_by": "llmops"}
                for name, created in sorted(since.items())
            ],
        }
    ).encode()


async def _relay(
    target: Target, path: str, body: bytes, headers: dict[bytes, bytes], receive: Receive, send: Send
) -> None:
    """Pass it on, while watching whether the client is still there. Raises ClientLeft, Refusal."""
    passing = asyncio.create_task(_pass_on(target, path, body, headers, send))
    leaving = asyncio.create_task(_until_left(receive))
    try:
        await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (passing, leaving):
            task.cancel()
        await asyncio.wait({passing, leaving})  # the engine's connection is closed when this returns
    if passing.cancelled():
        raise ClientLeft
    passing.result()


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pass_on(target: Target, path: str, body: bytes, headers: dict[bytes, bytes], send: Send) -> None:
    try:
        response = await ask_engine(
            target.base_url + path,
            key=target.engine_key,
            body=body,
            headers={name.decode(): headers[name].decode("latin-1") for name in PASSED_UP if name in headers},
        )
    except EngineGone as error:
        message = f"{target.instance_name} does not answer at the moment."
        raise unavailable(message, retry_after=RETRY_AFTER) from error
    except EngineRedirects as error:
        raise Refusal(502, str(error), kind="bad_gateway", code="engine_redirects") from error
    try:
        if response.content_type == "text/event-stream":
            await _stream_on(response, target, cors_headers(headers), send)
        else:
            await _send_whole(response, target, cors_headers(headers), send)
    finally:
        response.close()


async def _stream_on(response: aiohttp.ClientResponse, target: Target, extra: Headers, send: Send) -> None:
    """Bytes as they come; an end that comes too early is said in the stream, never kept silent."""
    own = [
        (b"content-type", response.headers["Content-Type"].encode("latin-1")),
        (b"cache-control", b"no-cache"),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": [*own, *extra]})
    try:
        async for chunk in response.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except (aiohttp.ClientError, OSError):
        broken = error_body(_broke_off(target), kind="bad_gateway", code="engine_gone")
        event = b"\n\ndata: " + broken + b"\n\ndata: [DONE]\n\n"
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_whole(response: aiohttp.ClientResponse, target: Target, extra: Headers, send: Send) -> None:
    """Only once it is complete, so that half an answer never passes for a whole one."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                message = f"{target.instance_name} sent more than {LARGEST_ANSWER // 1024 // 1024} MiB."
                raise Refusal(502, message, kind="bad_gateway", code="answer_too_large")
    except (aiohttp.ClientError, OSError) as error:
        raise Refusal(502, _broke_off(target), kind="bad_gateway", code="engine_gone") from error
    own = [(b"content-length", str(len(body)).encode())]
    if "Content-Type" in response.headers:
        own.append((b"content-type", response.headers["Content-Type"].encode("latin-1")))
    await send({"type": "http.response.start", "status": response.status, "headers": [*own, *extra]})
    await send({"type": "http.response.body", "body": bytes(body)})


def _broke_off(target: Target) -> str:
    return f"{target.instance_name} ended in the middle of its answer."


async def _send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
