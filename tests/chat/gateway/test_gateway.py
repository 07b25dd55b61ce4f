"""The gateway as an ASGI application, in front of a stand-in engine and a stand-in Django."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from asgiref.sync import sync_to_async

from accounts.models import User
from accounts.services import create_api_key, revoke_api_key
from chat.gateway import asgi, keys
from chat.gateway.asgi import Gateway
from instances.models import Launch
from instances.states import State

from ..conftest import make_running
from ..connection import WITHIN, Connection
from ..stand_in import DONE, StandIn

pytestmark = pytest.mark.django_db(transaction=True)
Headers = dict[str, str]
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}


async def django(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"this is Django"})


class Answer:
    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = {name.decode(): value.decode() for name, value in headers}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]


class Request(Connection):
    """One request to the gateway."""

    def __init__(self, method: str, path: str, body: bytes = b"", headers: Headers | None = None) -> None:
        merged = {"host": "localhost", "content-type": "application/json", **(headers or {})}
        given = {name: value for name, value in merged.items() if value}
        super().__init__(Gateway(django), method, path, given, body)

    async def whole(self) -> Answer:
        self.open()
        start = await self.next()
        body = b""
        while True:
            part = await self.next()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        await self.ended()
        return Answer(start["status"], start["headers"], body)


@pytest.fixture
async def key(mia: User) -> str:
    keys._trusted.clear()
    _, secret = await sync_to_async(create_api_key)(owner=mia)
    return secret


def post(key: str, body: Any = CHAT, path: str = "/v1/chat/completions", **headers: str) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", path, raw, {"authorization": f"Bearer {key}", **headers})


async def test_other_paths_are_djangos() -> None:
    for path in ("/", "/chat/", "/v1x", "/api/models/list", "/api/chat/other"):
        assert (await Request("GET", path).whole()).status == 299


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer llmops-wrong", "Basic eDp5"])
async def test_it_wants_a_key(engine: StandIn, authorization: str) -> None:
    answer = await Request(
        "POST", "/v1/chat/completions", json.dumps(CHAT).encode(), {"authorization": authorization}
    ).whole()
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
    assert engine.asked == []


async def test_a_session_is_no_key(engine: StandIn) -> None:
    headers = {"cookie": "llmops_session=whatever"}
    assert (await Request("GET", "/v1/models", b"", headers).whole()).status == 401


async def test_a_revoked_key_ends_within_seconds(mia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "TRUSTED_FOR", 0.0)
    row, secret = await sync_to_async(create_api_key)(owner=mia)
    request = {"authorization": f"Bearer {secret}"}
    assert (await Request("GET", "/v1/models", b"", request).whole()).status == 200
    await sync_to_async(revoke_api_key)(actor=mia, key=row)
    assert (await Request("GET", "/v1/models", b"", request).whole()).status == 401


async def test_it_lists_served_names_of_what_runs(key: str, mia: User) -> None:
    await sync_to_async(make_running)(mia, name="one", served_name="Qwen/Qwen3-14B", port=1)
    stopped = await sync_to_async(make_running)(mia, name="two", port=2)
    await Launch.objects.filter(pk=stopped.pk).aupdate(state=State.STOPPED)
    answer = await Request("GET", "/v1/models", b"", {"authorization": f"Bearer {key}"}).whole()
    assert answer.json["object"] == "list"
    assert [model["id"] for model in answer.json["data"]] == ["Qwen/Qwen3-14B"]
    assert set(answer.json["data"][0]) == {"id", "object", "created", "owned_by"}


@pytest.mark.parametrize(
    ("path", "engines"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/api/chat/completions", "/v1/chat/completions"),
        ("/v1/completions", "/v1/completions"),
        ("/v1/embeddings", "/v1/embeddings"),
    ],
)
async def test_it_passes_body_and_answer_on_byte_for_byte(
    engine: StandIn, key: str, path: str, engines: str
) -> None:
    body = b'{"seed": 12345678901234567890,\n "model":"tiny", "content":null, "x":1.0,"messages":[] }'
    reply = b'{"n":  12345678901234567890, "x": null}'
    engine.reply = lambda: web.Response(
        body=reply, status=418, content_type="application/json", headers={"x-no": "1"}
    )
    answer = await post(
        key, body, path, accept="application/json", cookie="a=b", **{"x-forwarded-for": "1"}
    ).whole()
    assert (answer.status, answer.body) == (418, reply)
    assert answer.headers["content-type"].startswith("application/json")
    assert "x-engine" not in answer.headers
    asked = engine.asked[0]
    assert (asked.path, asked.body) == (engines, body)
    sent = {name.lower(): value for name, value in asked.headers.items()}
    assert sent["authorization"] == "Bearer the-engines-own-key"
    assert set(sent) == {"host", "authorization", "content-type", "accept", "content-length"}


async def test_it_finds_an_instance_by_served_name_and_by_name(engine: StandIn, key: str) -> None:
    await Launch.objects.aupdate(served_name="Qwen/Qwen3:14B")
    engine.reply = lambda: web.json_response({})
    for model in ("Qwen/Qwen3:14B", "tiny"):
        assert (await post(key, {"model": model}).whole()).status == 200


async def test_it_streams_as_the_engine_speaks(engine: StandIn, key: str) -> None:
    request = post(key, {**CHAT, "stream": True})
    request.open()
    start = await request.next()  # before the first token
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"
    for word in (
        b'data: {"choices": []}\r\n\r\n',
        b": comment\n\n",
        "data: 你".encode()[:-1],
        b"\xa0\n\n",
        DONE,
    ):
        engine.say_bytes(word)
        assert (await request.next())["body"] == word
    engine.cut()
    assert (await request.next()) == {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_the_engine_before_the_first_token(
    engine: StandIn, key: str, stream: bool
) -> None:  # row 24
    request = post(key, {**CHAT, "stream": stream})
    request.open()
    async with asyncio.timeout(WITHIN):
        await engine.arrived.wait()
        request.leave()
        await engine.asked[0].left.wait()
        await request.ended()


async def test_a_client_that_leaves_mid_answer_frees_the_engine(engine: StandIn, key: str) -> None:
    request = post(key, {**CHAT, "stream": True})
    request.open()
    engine.say("x")
    await request.next()
    await request.next()
    request.leave()
    async with asyncio.timeout(WITHIN):
        await engine.asked[0].left.wait()


async def test_an_engine_that_breaks_off_is_said_in_the_stream(engine: StandIn, key: str) -> None:
    request = post(key, {**CHAT, "stream": True})
    request.open()
    await request.next()
    engine.say("x")
    await request.next()
    engine.break_off()
    broken = (await request.next())["body"]
    assert b'"code": "engine_gone"' in broken and broken.endswith(DONE)
    assert not (await request.next())["more_body"]


async def test_an_unknown_model_is_404_and_names_those_that_run(engine: StandIn, key: str) -> None:
    answer = await post(key, {"model": "gpt-4"}).whole()
    assert answer.status == 404
    assert answer.error["code"] == "model_not_found"
    assert "tiny" in answer.error["message"]


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (State.STARTING, "Ask again in a little while."),
        (State.UNHEALTHY, "It makes no progress. Ask again in a little while, or restart it."),
        (State.STOPPING, "Start it, then ask again."),
        (State.STOPPED, "Start it, then ask again."),
        (State.ERROR, "Start it, then ask again."),
    ],
)
async def test_a_model_that_does_not_run_is_503_and_says_its_state_and_what_to_do(
    engine: StandIn, key: str, state: State, advice: str
) -> None:
    await Launch.objects.aupdate(state=state, error="It makes no progress.")
    answer = await post(key).whole()
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.error["message"] == f"tiny is not running: it is {str(state.label).lower()}. {advice}"
    assert engine.asked == []


async def test_an_engine_that_is_gone_is_503(running: Launch, key: str, pool: None) -> None:
    answer = await post(key).whole()  # nothing listens on its port
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert answer.error["message"] == "tiny does not answer at the moment."


async def test_a_redirect_is_502_and_not_followed(engine: StandIn, key: str) -> None:  # row 30
    engine.reply = lambda: web.Response(
        status=307, headers={"Location": f"http://127.0.0.1:{engine.port}/elsewhere"}
    )
    assert (await post(key).whole()).status == 502
    assert len(engine.asked) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"model": 7}', b'{"messages": []}', b"[" * 100_000])
async def test_a_bad_body_is_400(engine: StandIn, key: str, body: bytes) -> None:
    assert (await post(key, body).whole()).status == 400


async def test_a_large_body_is_413(engine: StandIn, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "LARGEST_BODY", 1000)  # row 29
    said = json.dumps({**CHAT, "x": "y" * 2000}).encode()
    answer = await post(key, said, **{"content-length": str(len(said))}).whole()
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert (await post(key, said).whole()).status == 413  # chunked: no length beforehand


async def test_other_paths_of_an_engine_are_404(engine: StandIn, key: str) -> None:  # row 42
    for path in ("/v1", "/v1/", "/v1/responses", "/v1/load_lora_adapter", "/v1/models/tiny", "/v1/chat"):
        assert (await post(key, path=path).whole()).error["code"] == "unknown_url"
    assert engine.asked == []


async def test_a_wrong_method_is_405(key: str) -> None:
    answer = await Request("GET", "/v1/completions", b"", {"authorization": f"Bearer {key}"}).whole()
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("host", ["evil.example", "localhost:80:80", ""])
async def test_a_foreign_host_is_400(engine: StandIn, key: str, host: str) -> None:
    assert (await post(key, host=host).whole()).error["code"] == "invalid_host"


async def test_two_hosts_are_400(engine: StandIn, key: str) -> None:  # row 29
    request = post(key)
    request.scope["headers"].append((b"host", b"localhost"))
    assert (await request.whole()).status == 400


async def test_it_answers_a_page_of_an_origin_that_is_let_in(
    engine: StandIn, key: str, settings: Any
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    engine.reply = lambda: web.json_response({})
    answer = await post(key, origin="https://app.example").whole()
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    refused = await post("wrong", origin="https://app.example").whole()
    assert refused.headers["access-control-allow-origin"] == "https://app.example"  # it may read why
    foreign = await post(key, origin="https://evil.example").whole()
    assert "access-control-allow-origin" not in foreign.headers


async def test_it_answers_the_question_before_the_request(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-a"}
    allowed = await Request("OPTIONS", "/v1/models", b"", {"origin": "https://app.example", **asks}).whole()
    assert allowed.status == 204
    assert allowed.headers["access-control-allow-headers"] == "authorization,x-a"
    assert "POST" in allowed.headers["access-control-allow-methods"]
    foreign = await Request("OPTIONS", "/v1/models", b"", {"origin": "https://evil.example", **asks}).whole()
    assert not any(name.startswith("access-control") for name in foreign.headers)
