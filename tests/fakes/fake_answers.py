"""What the fake engine says: answers and errors in vLLM's shapes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


class Refused(Exception):
    """An answer in vLLM's shape of errors."""

    def __init__(
        self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind, "param": param, "code": status}


@dataclass
class Answer:
    """One answer's JSON, whole or in parts, as vLLM writes it."""

    chat: bool
    id: str
    model: str

    def _shell(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": int(time.time()),
            "model": self.model,
            "choices": choices,
        }

    def part(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        said: dict[str, Any] = {"delta": delta} if self.chat else {"text": delta["content"]}
        return self._shell(kind, [{"index": 0, **said, "logprobs": None, "finish_reason": reason}])

    def usage(self, usage: dict[str, int]) -> dict[str, Any]:
        return self._shell("chat.completion.chunk" if self.chat else "text_completion", []) | {"usage": usage}

    def whole(self, text: str, reason: str, usage: dict[str, int]) -> dict[str, Any]:
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        )
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return self._shell("chat.completion" if self.chat else "text_completion", [choice]) | {"usage": usage}


def prompt_of(body: dict[str, Any], chat: bool) -> str:
    """What the answer goes by: the prompt, or the last message's text."""
    if not chat:
        return str(body.get("prompt", ""))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(
            400, "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]", "Bad Request"
        )
    content = messages[-1].get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return str(content)


def words_for(prompt: str, count: int) -> list[str]:
    """The answer, one word a token; with `count`, repeated or cut to that many."""
    known = "capital of japan" in prompt.lower()
    words = ("The capital of Japan is Tokyo." if known else f"You said: {prompt}").split(" ")
    if count:
        words = (words * (count // len(words) + 1))[:count]
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
