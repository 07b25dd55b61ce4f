"""An answer on its way: from the engine, through the stream, into the page and the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from accounts.models import User
from chat import services, streaming
from chat.models import Message
from chat.sse import EventReader
from chat.streaming import answer_events
from instances.models import Launch
from instances.states import State

from .connection import WITHIN, Connection
from .stand_in import StandIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def answer(running: Launch, pool: None) -> Message:
    """An answer to "Hello", asked for and not yet begun."""

    def begin() -> Message:
        conversation = services.start_conversation(
            owner=running.instance.owner, instance=running.instance, text="Hello"
        )
        return conversation.messages.get(role=Message.Role.ASSISTANT)

    return await sync_to_async(begin)()


async def kept(answer: Message) -> Message:
    return await Message.objects.aget(pk=answer.pk)


async def becomes(answer: Message, true: Callable[[Message], bool]) -> Message:
    async with asyncio.timeout(WITHIN):
        while not true(message := await kept(answer)):
            await asyncio.sleep(0.02)
    return message


class Page:
    """What a browser makes of the stream: names and data of events."""

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        self._frames = frames

    async def until(self, name: str) -> str:
        """The data of the next event of that name."""
        async with asyncio.timeout(WITHIN):
            async for frame in self._frames:
                if frame.startswith(f"event: {name}\n".encode()):
                    return EventReader().feed(frame)[0]
        raise AssertionError(f"the stream ended without {name}")

    async def text(self, whole: str) -> None:
        """Reads on until that much text has come."""
        came = ""
        while came != whole:
            came += await self.until("text")
            assert whole.startswith(came)

    async def leave(self) -> None:
        await self._frames.aclose()  # type: ignore[attr-defined]


def stop(answer: Message) -> Any:
    return sync_to_async(services.stop_answer)(answer=answer)


async def test_it_sends_the_text_step_by_step_and_then_the_whole(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    for word in ("The", " capital", " is"):
        engine.say(word)
        await page.text(word)
    engine.finish(text=" *Tokyo*.", tokens=8)
    assert "The capital is <em>Tokyo</em>." in await page.until("finished")
    await page.until("done")
    message = await kept(answer)
    assert (message.state, message.text) == ("complete", "The capital is *Tokyo*.")
    assert (message.prompt_tokens, message.completion_tokens) == (17, 8)
    assert message.first_token_ms is not None and message.duration_ms is not None
    assert message.served_by == "tiny"


async def test_it_asks_with_the_engines_own_key(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    engine.say("Hi")
    engine.finish()
    await page.until("done")
    asked = engine.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == "Bearer the-engines-own-key"
    assert asked.json["model"] == "tiny"
    assert asked.json["messages"] == [{"role": "user", "content": "Hello"}]


async def test_it_sends_thoughts_apart_from_the_text(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    engine.say(reasoning="Hm.")
    assert await page.until("reasoning") == "Hm."
    engine.say(reasoning_content=" Well.")
    engine.finish(text="Yes.")
    assert "Hm. Well." in await page.until("finished")
    message = await kept(answer)
    assert (message.reasoning, message.text) == ("Hm. Well.", "Yes.")


async def test_it_keeps_hostile_text_inside_the_frame(engine: StandIn, answer: Message) -> None:
    # row 26: the model writes events and HTML
    text = "\n\nevent: done\ndata: x\n\n<script>alert(1)</script> ![p](https://evil.example/p.png)\r\n"
    page = Page(answer_events(answer.pk))
    engine.say(text)
    first = await page.until("text")
    assert first.startswith("\n\nevent: done\ndata: x\n\n&lt;script&gt;")
    engine.finish()
    finished = await page.until("finished")
    assert "<script" not in finished and "<img" not in finished
    assert (await kept(answer)).text == text


async def test_it_reads_an_engine_that_cuts_anywhere(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    text = "你好 🌍"
    whole = b'data: {"choices":[{"delta":{"content":"' + text.encode() + b'"}}]}\r\n\r\n'
    for byte in whole:
        engine.say_bytes(bytes([byte]))
    await page.text(text)
    engine.finish()
    await page.until("done")


async def test_stop_frees_the_engine_and_keeps_the_text(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    engine.say("Half an")
    await page.text("Half an")
    await stop(answer)
    assert "Stopped" in await page.until("finished")
    async with asyncio.timeout(WITHIN):
        await engine.asked[0].left.wait()
    message = await kept(answer)
    assert (message.state, message.text) == ("stopped", "Half an")


async def test_stop_works_before_the_first_token(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    finished = asyncio.create_task(page.until("finished"))
    async with asyncio.timeout(WITHIN):
        await engine.arrived.wait()
        await stop(answer)
        await finished
        await engine.asked[0].left.wait()
    assert (await kept(answer)).state == "stopped"


async def test_stop_before_any_page_asks_for_the_answer_ends_it(engine: StandIn, answer: Message) -> None:
    await stop(answer)
    await Page(answer_events(answer.pk)).until("finished")
    assert (await kept(answer)).state == "stopped"
    assert engine.asked == []


async def test_a_lost_bell_costs_one_beat(
    engine: StandIn, answer: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BEAT", 0.05)
    page = Page(answer_events(answer.pk))
    engine.say("x")
    await page.text("x")
    await Message.objects.filter(pk=answer.pk).aupdate(stop_asked=True)
    await page.until("finished")
    assert (await kept(answer)).state == "stopped"


async def test_a_browser_that_leaves_frees_the_engine_and_keeps_the_text(
    engine: StandIn, answer: Message, mia: User
) -> None:  # row 24, through Django's own handling of a closed connection
    connection = await _connect(answer, mia)
    engine.say("Half an")
    await _receives(connection, b"Half an")
    connection.leave()
    async with asyncio.timeout(WITHIN):
        await engine.asked[0].left.wait()
    message = await becomes(answer, lambda message: not message.is_writing)
    assert (message.state, message.text) == ("interrupted", "Half an")


async def test_a_browser_that_leaves_before_the_first_token_frees_the_engine(
    engine: StandIn, answer: Message, mia: User
) -> None:  # row 24
    connection = await _connect(answer, mia)
    async with asyncio.timeout(WITHIN):
        await engine.arrived.wait()
        connection.leave()
        await engine.asked[0].left.wait()
    message = await becomes(answer, lambda message: not message.is_writing)
    assert (message.state, message.text) == ("interrupted", "")


async def test_an_end_that_cannot_be_saved_at_once_is_saved_when_the_database_answers(
    engine: StandIn, answer: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = streaming.AnswerStream._settle
    refused: list[streaming.AnswerStream] = []

    def refuse_once(stream: streaming.AnswerStream) -> None:
        if not refused:
            refused.append(stream)
            raise OperationalError("the database restarts")
        settle(stream)

    monkeypatch.setattr(streaming.AnswerStream, "_settle", refuse_once)
    page = Page(answer_events(answer.pk))
    engine.finish(text="Whole.")
    await page.until("finished")
    message = await kept(answer)
    assert (len(refused), message.state, message.text) == (1, "complete", "Whole.")


async def _connect(answer: Message, user: User) -> Connection:
    """A browser's connection to the stream, through the whole of Django."""
    client = Client()
    await sync_to_async(client.force_login)(user)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    path = reverse("answer-stream", args=[answer.conversation_id, answer.pk])
    connection = Connection(get_asgi_application(), "GET", path, {"host": "localhost", "cookie": cookies})
    connection.open()
    start = await connection.next()
    assert start["status"] == 200
    headers = {name.lower(): value for name, value in start["headers"]}
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"x-accel-buffering"] == b"no"
    first = await connection.next()
    assert first["body"].startswith(b":")  # at once, before the engine says a word
    return connection


async def _receives(connection: Connection, text: bytes) -> None:
    came = b""
    while text not in came:
        came += (await connection.next())["body"]


async def test_text_is_saved_while_it_is_written(
    engine: StandIn, answer: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BEAT", 0.05)
    page = Page(answer_events(answer.pk))
    engine.say("so far")
    await page.text("so far")
    finished = asyncio.create_task(page.until("finished"))
    message = await becomes(answer, lambda message: message.text == "so far")
    assert message.is_writing
    engine.finish()
    await finished


async def test_an_engine_that_breaks_off_leaves_its_text(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))  # row 25
    engine.say("Half an")
    await page.text("Half an")
    engine.cut()
    finished = await page.until("finished")
    assert "Half an" in finished and "Retry" in finished
    message = await kept(answer)
    assert (message.state, message.text) == ("error", "Half an")
    assert message.error == "tiny ended in the middle of its answer."


async def test_an_error_in_the_stream_becomes_a_sentence(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    engine.say("Half an")
    engine.say_bytes(b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\ndata: [DONE]\n\n')
    await page.until("finished")
    assert (await kept(answer)).error == "tiny broke off: EngineCore died"


async def test_an_engine_that_is_gone_becomes_a_sentence(running: Launch, answer: Message) -> None:
    finished = await Page(answer_events(answer.pk)).until("finished")  # nothing listens on its port
    assert "tiny does not answer" in finished and "Retry" in finished
    assert (await kept(answer)).state == "error"


async def test_an_instance_that_does_not_run_becomes_a_sentence(running: Launch, answer: Message) -> None:
    await Launch.objects.filter(pk=running.pk).aupdate(state=State.STOPPING)
    finished = await Page(answer_events(answer.pk)).until("finished")
    assert "tiny is not running" in finished


async def test_a_silent_engine_that_became_unhealthy_ends_the_answer(
    engine: StandIn, answer: Message, running: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:  # row 20
    monkeypatch.setattr(streaming, "BEAT", 0.05)
    page = Page(answer_events(answer.pk))
    engine.say("Half an")
    await page.text("Half an")
    await Launch.objects.filter(pk=running.pk).aupdate(state=State.UNHEALTHY)
    assert "tiny stopped answering" in await page.until("finished")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "This model's maximum context length is 512 tokens. However, ...",
            "This conversation is longer than",
        ),
        (
            "default chat template is no longer allowed, so you must provide a chat template",
            "has no chat template",
        ),
        ("Something else", "tiny refused: Something else"),
    ],
)
async def test_a_refusal_becomes_a_sentence(
    engine: StandIn, answer: Message, words: str, sentence: str
) -> None:
    engine.reply = lambda: web.json_response({"error": {"message": words, "code": 400}}, status=400)
    await Page(answer_events(answer.pk)).until("finished")
    assert sentence in (await kept(answer)).error


async def test_an_engine_that_redirects_gets_no_second_request(engine: StandIn, answer: Message) -> None:
    engine.reply = lambda: web.Response(
        status=302, headers={"Location": f"http://127.0.0.1:{engine.port}/elsewhere"}
    )
    await Page(answer_events(answer.pk)).until("finished")  # row 30
    assert len(engine.asked) == 1
    assert (await kept(answer)).state == "error"


async def test_an_answer_without_end_is_cut_off(
    engine: StandIn, answer: Message, monkeypatch: pytest.MonkeyPatch
) -> None:  # row 30
    monkeypatch.setattr(streaming, "LONGEST_ANSWER", 100)
    for _ in range(20):
        engine.say("x" * 10)
    await Page(answer_events(answer.pk)).until("finished")
    assert "too long" in (await kept(answer)).error


async def test_a_full_context_is_said(engine: StandIn, answer: Message) -> None:
    engine.say("Half an")
    engine.finish(reason="length")
    assert "no room is left" in await Page(answer_events(answer.pk)).until("finished")


async def test_a_second_page_follows_what_is_saved(
    engine: StandIn, answer: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BEAT", 0.05)
    monkeypatch.setattr(streaming, "POLL", 0.02)
    first = Page(answer_events(answer.pk))
    engine.say("so far")
    await first.text("so far")
    ended = asyncio.create_task(first.until("finished"))
    second = Page(answer_events(answer.pk))
    await second.text("so far")
    engine.finish()
    await ended
    assert "so far" in await second.until("finished")
    assert len(engine.asked) == 1


async def test_deleting_the_conversation_frees_the_engine(engine: StandIn, answer: Message) -> None:
    page = Page(answer_events(answer.pk))
    engine.say("x")
    await page.text("x")
    conversation = answer.conversation
    await sync_to_async(services.delete_conversation)(conversation=conversation)
    await page.until("done")
    async with asyncio.timeout(WITHIN):
        await engine.asked[0].left.wait()


async def test_questions_without_an_answer_are_not_sent_again(
    engine: StandIn, answer: Message, running: Launch
) -> None:
    await stop(answer)
    _, second = await sync_to_async(services.say)(
        conversation=answer.conversation, instance=running.instance, text="Are you there?"
    )
    engine.say("Yes.")
    engine.finish()
    await Page(answer_events(second.pk)).until("done")
    assert engine.asked[0].json["messages"] == [{"role": "user", "content": "Are you there?"}]
