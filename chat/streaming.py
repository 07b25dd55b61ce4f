"""An answer on its way from the engine to the page and into the database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from contextvars import Context
from html import escape

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError, OperationalError
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _

from instances.models import Launch
from instances.states import State

from . import services
from .announce import answer_group
from .completion import CompletionFailed, Piece, Said, complete
from .models import Message
from .sse import format_comment, format_event
from .targets import Target, target_of

log = logging.getLogger(__name__)

BATCH = 0.03  # seconds; what comes together goes to the page together
BEAT = 2.0  # seconds between two saves, each of them a sign of life
PAUSES = (0.1, 0.5, 2.0)  # seconds, before the end of an answer is saved again
POLL = 0.5  # seconds, of one who only watches
LONGEST_ANSWER = 4_000_000  # characters; no engine can fill this process

_closing: set[asyncio.Task[None]] = set()  # last words that outlive the request they belong to


class AnswerStream:
    """Writes one answer, which it has claimed.

    Guarantees: however it ends (finished, stopped, failed, the reader left), the engine's connection is
    closed, the text that came is saved, and the row is no longer `writing`.
    """

    def __init__(self, answer: Message, target: Target | None, said: list[Said]) -> None:
        self._answer = answer
        self._target = target
        self._said = said
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._length = 0  # characters of both
        self._sent_text = 0  # pieces of `_text` that the page has
        self._sent_reasoning = 0
        self._facts: dict[str, int | None] = {}  # token counts and times, by column
        self._sent_at = 0.0
        self._ending: tuple[Message.State, str] | None = None  # the first that is said counts
        self._gone = False  # somebody else ended or deleted the row
        self._heard = False  # whether the engine said anything since the last beat
        self._news = asyncio.Event()
        self._started = time.monotonic()

    async def frames(self) -> AsyncIterator[bytes]:
        """The events for the page, but the last: the text as it comes."""
        self._reading = asyncio.create_task(self._read_engine())
        self._reading.add_done_callback(lambda task: self._news.set())
        tasks = [self._reading, asyncio.create_task(self._listen())]
        try:
            beat = time.monotonic()
            while not self._over:
                await self._wait(until=beat + BEAT)
                for frame in self._unsent():
                    yield frame
                if time.monotonic() - beat >= BEAT:
                    beat = time.monotonic()
                    await self._give_sign_of_life()
        finally:
            for task in tasks:
                task.cancel()
            nobodys = Context()  # the request's thread may be another's before it is done
            closing = asyncio.create_task(self._close(tasks), context=nobodys)
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)
            await asyncio.shield(closing)

    @property
    def _over(self) -> bool:
        return self._gone or self._ending is not None or self._reading.done()

    def _end(self, state: Message.State, sentence: str = "") -> None:
        if self._ending is None:
            self._ending = (state, sentence)
        self._news.set()

    async def _wait(self, *, until: float) -> None:
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                await self._news.wait()
        except TimeoutError:
            return
        if not self._over:
            await asyncio.sleep(max(self._sent_at + BATCH - time.monotonic(), 0))
        self._news.clear()

    def _unsent(self) -> list[bytes]:
        frames = []
        if reasoning := "".join(self._reasoning[self._sent_reasoning :]):
            frames.append(format_event("reasoning", escape(reasoning)))
        if text := "".join(self._text[self._sent_text :]):
            frames.append(format_event("text", escape(text)))
        self._sent_reasoning, self._sent_text = len(self._reasoning), len(self._text)
        self._sent_at = time.monotonic()
        return frames

    # ------------------------------------------------------------ what it hears
    async def _read_engine(self) -> None:
        if self._target is None:
            words = _("%(name)s is not running. Start it, then try again.") % {"name": self._answer.served_by}
            return self._end(Message.State.ERROR, words)
        finish_reason = ""
        try:
            async with aclosing(complete(self._target, self._said)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    finish_reason = piece.finish_reason or finish_reason
                    self._take(piece)
                    if self._length > LONGEST_ANSWER:
                        return self._end(Message.State.ERROR, _("The answer grew too long and was cut off."))
        except CompletionFailed as failure:
            return self._end(Message.State.ERROR, str(failure))
        words = ""
        if finish_reason == "length":
            words = _("Cut off here: no room is left in the model's context.")
        elif not self._length:
            words = _("The model answered with nothing.")
        self._end(Message.State.COMPLETE, words)

    def _take(self, piece: Piece) -> None:
        now = round((time.monotonic() - self._started) * 1000)  # ms
        self._heard = True
        if piece.text or piece.reasoning:
            self._facts.setdefault("first_token_ms", now)
            self._facts["duration_ms"] = now
            self._length += len(piece.text) + len(piece.reasoning)
        if piece.text:
            if self._reasoning and not self._text:
                self._facts["reasoning_ms"] = now - (self._facts["first_token_ms"] or 0)
            self._text.append(piece.text)
        if piece.reasoning:
            self._reasoning.append(piece.reasoning)
        if piece.completion_tokens is not None:
            self._facts["completion_tokens"] = piece.completion_tokens
            self._facts["prompt_tokens"] = piece.prompt_tokens
        self._news.set()

    async def _listen(self) -> None:
        """Hear at once that the reader pressed Stop, in whichever process that was received."""
        layer = get_channel_layer()
        assert layer is not None
        channel = await layer.new_channel()
        await layer.group_add(answer_group(self._answer.pk), channel)
        try:
            while not self._over:
                await self._look()
                await layer.receive(channel)
            await self._look()
        finally:
            await layer.group_discard(answer_group(self._answer.pk), channel)

    async def _look(self) -> None:
        """Re-read what was decided about this answer."""
        asked = await database_sync_to_async(
            Message.objects.writing().filter(pk=self._answer.pk).values_list("stop_asked", flat=True).first
        )()
        if asked:
            self._end(Message.State.STOPPED)
        elif asked is None:
            self._gone = True
            self._news.set()

    # ------------------------------------------------------------ what it writes
    async def _give_sign_of_life(self) -> None:
        heard, self._heard = self._heard, False
        try:
            await database_sync_to_async(self._save)()
            await self._look()
            well = heard or self._over or await database_sync_to_async(self._engine_is_well)()
        except DatabaseError as error:  # it restarts: the answer goes on, and is saved at a later beat
            log.warning("the database does not answer while an answer is written: %s", str(error).strip())
            return
        if not well:
            words = _("%(name)s stopped answering.") % {"name": self._answer.served_by}
            self._end(Message.State.ERROR, words)

    def _save(self) -> None:
        Message.objects.writing().filter(pk=self._answer.pk).update(
            heard_at=timezone.now(), text=self._whole(self._text), reasoning=self._whole(self._reasoning)
        )

    def _engine_is_well(self) -> bool:
        return (
            self._target is None
            or Launch.objects.filter(pk=self._target.launch_id, state=State.RUNNING).exists()
        )

    @staticmethod
    def _whole(pieces: list[str]) -> str:
        return "".join(pieces).replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL keeps no NUL

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(tasks)
        for pause in PAUSES:
            try:
                await database_sync_to_async(self._settle)()
                break
            except (
                OperationalError
            ) as error:  # it restarts, or is locked: the end of an answer is not lost for that
                log.warning("the end of an answer could not be saved yet: %s", str(error).strip())
                await asyncio.sleep(pause)
        else:
            await database_sync_to_async(self._settle)()
        for task in tasks:
            if not task.cancelled():
                task.result()  # a mistake of ours is not hidden

    def _settle(self) -> None:
        state, sentence = self._ending or (Message.State.INTERRUPTED, "")
        Message.objects.settle(
            self._answer,
            state,
            error=sentence[:500],
            text=self._whole(self._text),
            reasoning=self._whole(self._reasoning),
            **self._facts,
        )


def _claim(answer_id: int) -> AnswerStream | None:
    """The stream that may write this answer: one only, whoever comes first."""
    unclaimed = Message.objects.writing().filter(pk=answer_id, heard_at__isnull=True)
    if unclaimed.update(heard_at=timezone.now()) != 1:
        return None
    answer = Message.objects.select_related("conversation__instance").get(pk=answer_id)
    return AnswerStream(answer, target_of(answer.conversation.instance), said_before(answer))


def said_before(answer: Message) -> list[Said]:
    """The conversation so far, without questions that got no answer: many templates want strict turns."""
    said: list[Said] = []
    for message in answer.conversation.messages.filter(pk__lt=answer.pk):
        if message.is_mine and said and said[-1]["role"] == Message.Role.USER:
            said.pop()
        if message.is_mine or (message.text and said):
            said.append({"role": message.role, "content": message.text})
    return said


def _watch(answer_id: int) -> tuple[bool, str]:
    """Whether it is still being written, and the text that is saved."""
    answer = Message.objects.select_related("conversation").filter(pk=answer_id).first()
    if answer is None:
        return False, ""
    if answer.is_writing:
        services.settle_silent(conversation=answer.conversation)
        answer.refresh_from_db(fields=["state"])
    return answer.is_writing, answer.text


async def _follow(answer_id: int) -> AsyncIterator[bytes]:
    """For a second page: the text as it is saved, until somebody else's stream has ended."""
    sent = 0
    while True:
        writing, text = await database_sync_to_async(_watch)(answer_id)
        if not writing:
            return
        if text[sent:]:
            yield format_event("text", escape(text[sent:]))
            sent = len(text)
        await asyncio.sleep(POLL)


def _finished(answer_id: int) -> bytes:
    """The whole bubble; nothing when the conversation was deleted meanwhile."""
    answer = Message.objects.select_related("conversation").filter(pk=answer_id).first()
    if answer is None:
        return b""
    context = {"message": answer, "conversation": answer.conversation}
    return format_event("finished", render_to_string("chat/chat.html#finished", context))


async def answer_events(answer_id: int) -> AsyncIterator[bytes]:
    """All events of an answer for one page: text and reasoning, `finished` with the whole bubble, `done`."""
    yield format_comment("here")  # the headers leave with it
    stream = await database_sync_to_async(_claim)(answer_id)
    frames = _follow(answer_id) if stream is None else stream.frames()
    async with aclosing(frames) as running:  # type: ignore[type-var]
        async for frame in running:
            yield frame
    if finished := await database_sync_to_async(_finished)(answer_id):
        yield finished
    yield format_event("done", "done")
