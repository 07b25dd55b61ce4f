"""One streamed chat completion of an engine, as pieces of text and figures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypedDict

import aiohttp
from django.utils.translation import gettext as _

from .sse import EventReader, EventTooLong
from .targets import Target
from .upstream import EngineGone, EngineRedirects, ask_engine

LONGEST_ERROR = 64 * 1024  # bytes of an engine's error that are read


class Said(TypedDict):
    role: str
    content: str


@dataclass(frozen=True)
class Piece:
    """What one chunk brought. A final text can ride in the chunk that says why it ended."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class CompletionFailed(Exception):
    """The engine refused, broke off, or said something else than a completion; carries a sentence."""


def _piece(chunk: dict[str, Any]) -> Piece:
    usage = chunk.get("usage") or {}
    choice = (chunk.get("choices") or [{}])[0]
    delta = choice.get("delta") or {}
    return Piece(
        text=delta.get("content") or "",
        reasoning=delta.get("reasoning") or delta.get("reasoning_content") or "",
        finish_reason=choice.get("finish_reason") or "",
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
    )


def _words_of(error: object) -> str:
    """The engine's own sentence in `{"error": {"message": ...}}` or a bare `{"message": ...}`."""
    if isinstance(error, dict):
        inner = error.get("error", error)
        if isinstance(inner, dict):
            return str(inner.get("message", ""))
        return str(inner)
    return ""


def sentence_for(name: str, status: int, body: bytes) -> str:
    """What a person should read when the engine called `name` refused a chat with this status and body."""
    try:
        words = _words_of(json.loads(body))
    except ValueError:
        words = ""
    lower = words.lower()
    if "context length" in lower or "maximum model length" in lower or "max_model_len" in lower:
        return _("This conversation is longer than what %(name)s can read. Start a new one.") % {"name": name}
    if "chat template" in lower or "chat_template" in lower:
        return _(
            "%(name)s has no chat template: it goes on with text, but cannot hold a conversation. "
            "Deploy an “instruct” or “chat” model."
        ) % {"name": name}
    if words:
        return _("%(name)s refused: %(words)s") % {"name": name, "words": words[:300]}
    return _("%(name)s refused with status %(status)s.") % {"name": name, "status": status}


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    reader = EventReader()
    async for chunk in response.content.iter_any():
        for event in reader.feed(chunk):
            yield event


async def complete(target: Target, said: Sequence[Said]) -> AsyncIterator[Piece]:
    """Pieces as they come. Closing this iterator closes the engine's connection, and so ends its work.

    Raises CompletionFailed.
    """
    name = target.instance_name
    request = {
        "model": target.served_name,
        "messages": said,
        "stream": True,
        # known also when it is stopped
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    try:
        response = await ask_engine(
            f"{target.base_url}/v1/chat/completions",
            key=target.engine_key,
            body=json.dumps(request).encode(),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
        )
    except EngineGone as error:
        raise CompletionFailed(
            _("%(name)s does not answer. Is it still running?") % {"name": name}
        ) from error
    except EngineRedirects as error:
        raise CompletionFailed(_("%(name)s does not answer as an engine does.") % {"name": name}) from error
    finished = False
    broke_off = _("%(name)s ended in the middle of its answer.") % {"name": name}
    try:
        if response.status != 200:
            raise CompletionFailed(
                sentence_for(name, response.status, await response.content.read(LONGEST_ERROR))
            )
        async with aclosing(_events(response)) as events:  # type: ignore[type-var]
            async for event in events:
                if event == "[DONE]":
                    return
                chunk = json.loads(event)
                if not isinstance(chunk, dict):
                    raise ValueError(f"a chunk that is no object: {event[:100]}")
                if "error" in chunk:
                    raise CompletionFailed(
                        _("%(name)s broke off: %(words)s") % {"name": name, "words": _words_of(chunk)[:300]}
                    )
                piece = _piece(chunk)
                finished = finished or bool(piece.finish_reason)
                yield piece
        if not finished:
            raise CompletionFailed(broke_off)
    except (aiohttp.ClientError, OSError) as error:
        if not finished:
            raise CompletionFailed(broke_off) from error
    except (ValueError, AttributeError, EventTooLong) as error:
        raise CompletionFailed(_("%(name)s sent something that is no answer.") % {"name": name}) from error
    finally:
        response.close()
