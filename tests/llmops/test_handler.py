"""How Django is asked: through ASGI, as the server does."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from llmops.handler import Handler

seen: dict[str, int] = {}


def note_thread(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        seen["middleware"] = threading.get_ident()
        return get_response(request)

    return middleware


def view(request: HttpRequest) -> HttpResponse:
    seen["view"] = threading.get_ident()
    return HttpResponse("answer")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        seen["stream"] = threading.get_ident()
        yield b"one"
        yield b"two"

    return StreamingHttpResponse(pieces())


urlpatterns = [path("view", view), path("stream", stream)]


@pytest.fixture
def handler(settings: Any, tmp_path: Path) -> Handler:
    (tmp_path / "page.css").write_text("a {}")
    settings.STATIC_ROOT = str(tmp_path)
    settings.SERVESTATIC_USE_STATIC_ROOT = True
    settings.SERVESTATIC_USE_MANIFEST = False
    settings.MIDDLEWARE = [f"{__name__}.note_thread"]
    settings.ROOT_URLCONF = __name__
    return Handler()


async def asked(handler: Handler, url: str) -> tuple[dict[str, str], list[bytes]]:
    scope = {"type": "http", "method": "GET", "path": url, "headers": [(b"host", b"localhost")]}
    client = ApplicationCommunicator(handler, scope | {"query_string": b"", "http_version": "1.1"})
    await client.send_input({"type": "http.request", "body": b""})
    start = await client.receive_output(5)
    assert start["status"] == 200
    bodies = [await client.receive_output(5)]
    while bodies[-1].get("more_body"):
        bodies.append(await client.receive_output(5))
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return headers, [body["body"] for body in bodies if body.get("body")]


async def test_middleware_and_view_share_one_thread_that_is_not_the_loops(handler: Handler) -> None:
    assert (await asked(handler, "/view"))[1] == [b"answer"]
    assert seen["middleware"] == seen["view"] != threading.get_ident()


async def test_a_stream_is_read_on_the_loop_piece_by_piece(handler: Handler) -> None:
    assert (await asked(handler, "/stream"))[1] == [b"one", b"two"]
    assert seen["stream"] == threading.get_ident()


async def test_a_static_file_is_hardened_and_asks_no_middleware(handler: Handler) -> None:
    seen.clear()
    headers, body = await asked(handler, "/static/page.css")
    assert b"".join(body) == b"a {}"
    assert headers["x-content-type-options"] == "nosniff"
    assert not seen
