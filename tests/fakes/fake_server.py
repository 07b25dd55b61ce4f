"""The fake engine's HTTP side: vLLM's paths, errors and streams, on plain asyncio."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.fake_answers import Answer, Refused, prompt_of, words_for
from tests.fakes.fake_http import Request, head, read_request, send, send_event
from tests.fakes.fake_metrics import Metrics
from tests.fakes.fake_output import log, log_end_of_core, write

STEP = 0.02  # seconds between two looks at whether the client is still there
AFTER_CORE = 0.5  # seconds from the inner process's death to our end; the real engine takes 5
NO_TEMPLATE = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if "
    "the tokenizer does not define one."
)
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


@dataclass(frozen=True)
class Manners:
    health_status: int = 200
    tokens: int = 0  # of each answer; 0: as long as the answer is
    token_delay: float = 0.0  # seconds
    die_at_token: int = 0
    wedge_when: Path | None = None  # while it exists, requests are taken and nothing comes of them
    chats: bool = True  # the model has a chat template


class Left(Exception):
    """The client has gone."""


class CoreDied(Exception):
    """The inner process has gone."""


class FakeServer:
    """Serves until it is told to stop (0) or its inner process has died (0 as well, as with vLLM)."""

    def __init__(
        self,
        *,
        model: str,
        names: list[str],
        keys: list[str],
        core: int,
        context: int,
        max_running: int,
        pooling: bool,
        shutdown_timeout: float,
        stoppable: bool,
        manners: Manners,
    ) -> None:
        self.model = model
        self.names = names
        self.keys = keys
        self.core = core
        self.context = context
        self.max_running = max_running
        self.pooling = pooling
        self.shutdown_timeout = shutdown_timeout
        self.stoppable = stoppable
        self.manners = manners
        self.metrics = Metrics(names[0])
        self.dead = False
        self.stopping = False
        self.count = 0  # of requests, for their ids
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        if self.stoppable:
            loop.add_signal_handler(signal.SIGTERM, self._spawn_stop)
        loop.add_signal_handler(signal.SIGINT, self._spawn_stop)
        watch = os.pidfd_open(self.core)
        loop.add_reader(watch, self._core_ended, watch)
        server = await asyncio.start_server(self._connection, sock=listener, backlog=2048)
        code = await self.ended
        server.close()
        write("INFO:     Shutting down\nINFO:     Application shutdown complete.\n")
        return code

    def _spawn_stop(self) -> None:
        self._keep(self._stop())

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _stop(self) -> None:
        """Without --shutdown-timeout, answers in flight freeze and hold us until their clients leave."""
        if self.stopping:
            return
        log("INFO", "launcher.py:254", "[shutdown] API server: shutdown triggered")
        mode = "wait" if self.shutdown_timeout else "abort"
        log("INFO", "launcher.py:270", f"[shutdown] API server: stopping engine client mode={mode}")
        until = time.monotonic() + self.shutdown_timeout
        while self.metrics.running + self.metrics.waiting and time.monotonic() < until:
            await asyncio.sleep(STEP)
        self.stopping = True
        self._end_core()
        while self.metrics.running + self.metrics.waiting:
            await asyncio.sleep(STEP)
        self._finish(0)

    def _end_core(self) -> None:
        if self.core:
            os.kill(self.core, signal.SIGKILL)

    def _core_ended(self, watch: int) -> None:
        asyncio.get_running_loop().remove_reader(watch)
        os.close(watch)
        os.waitpid(self.core, 0)
        self.core = 0
        if not self.stopping:
            self.dead = True
            log_end_of_core()
            asyncio.get_running_loop().call_later(AFTER_CORE, self._finish, 0)

    def _finish(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)

    # One connection

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await read_request(reader, writer):
                await self._answer(request)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, Left):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request) -> None:
        if request.path.startswith("/v1") and self.keys:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or key not in self.keys:
                await send(request, 401, {"error": "Unauthorized"})
                return
        try:
            await self._route(request)
        except Refused as refused:
            await send(request, refused.status, {"error": refused.error})
        except CoreDied:
            error = {"message": DEAD, "type": "InternalServerError", "param": None, "code": 500}
            await send(request, 500, {"error": error})

    async def _route(self, request: Request) -> None:
        gets: dict[str, Any] = {
            "/health": None,
            "/ping": None,
            "/version": {"version": "0.32.0"},
            "/load": {"server_load": self.metrics.running},
            "/metrics": self.metrics.page(),
            "/v1/models": {"object": "list", "data": [self._card(name) for name in self.names]},
        }
        posts = {"/v1/embeddings": self._embeddings}
        if not self.pooling:
            posts |= {"/v1/chat/completions": self._generate, "/v1/completions": self._generate}
        path = request.path
        if path in ("/health", "/ping") and request.method in ("GET", "HEAD"):
            await send(request, 503 if self.dead or self.stopping else self.manners.health_status, None)
        elif path in gets and request.method in ("GET", "HEAD"):
            await send(request, 200, gets[path])
        elif path in posts and request.method == "POST":
            await posts[path](request)
        elif path in gets or path in posts:
            await send(request, 405, {"detail": "Method Not Allowed"})
        else:
            await send(request, 404, {"detail": "Not Found"})

    # Answers

    def _card(self, name: str) -> dict[str, Any]:
        card = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm"}
        return card | {"root": self.model, "parent": None, "max_model_len": self.context, "permission": []}

    def _body(self, request: Request) -> dict[str, Any]:
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Refused(
                415, "Unsupported Media Type: Only 'application/json' is allowed", "Unsupported Media Type"
            )
        try:
            body = json.loads(request.body)
        except ValueError as error:
            raise Refused(
                400, f"[{{'type': 'json_invalid', 'msg': 'JSON decode error: {error}'}}]", "Bad Request"
            ) from error
        if not isinstance(body, dict):
            raise Refused(400, "[{'type': 'model_attributes_type'}]", "Bad Request")
        name = body.get("model") or self.names[0]
        if name not in self.names:
            raise Refused(404, f"The model `{name}` does not exist.", "NotFoundError", "model")
        if body.get("stream_options") and not body.get("stream"):
            raise Refused(
                400, "Stream options can only be defined when `stream=True`.", param="stream_options"
            )
        return body

    async def _embeddings(self, request: Request) -> None:
        body = self._body(request)
        texts = body["input"] if isinstance(body.get("input"), list) else [body.get("input", "")]
        data = [
            {"object": "embedding", "index": index, "embedding": [len(str(text)) / 100, 0.5, -0.5]}
            for index, text in enumerate(texts)
        ]
        count = sum(len(str(text).split()) for text in texts)
        self.metrics.prompt_tokens += count
        self.metrics.finished["stop"] += 1
        usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
        await send(request, 200, {"object": "list", "model": body.get("model"), "data": data, "usage": usage})

    async def _generate(self, request: Request) -> None:
        body = self._body(request)
        chat = request.path == "/v1/chat/completions"
        if chat and not self.manners.chats:
            raise Refused(400, NO_TEMPLATE)
        prompt = prompt_of(body, chat)
        tokens = len(prompt.split())
        if tokens >= self.context:
            raise Refused(
                400, f"This model's maximum context length is {self.context} tokens.", param="input_tokens"
            )
        words = words_for(prompt, self.manners.tokens)
        wanted = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
        reason = "length" if wanted < len(words) else "stop"
        words = words[:wanted]
        self.count += 1
        answer = Answer(
            chat, f"{'chatcmpl' if chat else 'cmpl'}-{os.getpid():08x}{self.count:08x}", body["model"]
        )
        usage = {
            "prompt_tokens": tokens,
            "total_tokens": tokens + len(words),
            "completion_tokens": len(words),
        }
        if not body.get("stream"):
            text = "".join([word async for word in self._tokens(request, words, tokens, reason)])
            await send(request, 200, answer.whole(text, reason, usage))
            return
        head(request, 200, "text/event-stream; charset=utf-8", "transfer-encoding: chunked")
        try:
            if chat:
                await send_event(request, answer.part({"role": "assistant", "content": ""}))
            async with aclosing(self._tokens(request, words, tokens, reason)) as said:
                async for word in said:
                    await send_event(request, answer.part({"content": word}))
            await send_event(request, answer.part({"content": ""}, reason))
            if (body.get("stream_options") or {}).get("include_usage"):
                await send_event(request, answer.usage(usage))
        except CoreDied:
            error = {"message": DEAD, "type": "InternalServerError", "param": None, "code": 500}
            await send_event(request, {"error": error})
        await send_event(request, "[DONE]")
        request.writer.write(b"0\r\n\r\n")
        await request.writer.drain()

    async def _tokens(
        self, request: Request, words: list[str], prompt: int, reason: str
    ) -> AsyncGenerator[str, None]:
        """The words at the knobs' pace, counted as vLLM counts. Raises Left and CoreDied."""
        began = time.monotonic()
        metrics = self.metrics
        metrics.waiting += 1
        try:
            while metrics.running >= self.max_running:
                await self._pause(request, STEP)
        except (Left, CoreDied):
            metrics.finished["abort"] += 1
            raise
        finally:
            metrics.waiting -= 1
        metrics.queue.add(time.monotonic() - began)
        metrics.running += 1
        metrics.cached += prompt + len(words)
        metrics.prompt_tokens += prompt
        end = "abort"
        try:
            if self.manners.wedge_when and self.manners.wedge_when.exists():
                await self._pause(request, float("inf"))
            for number, word in enumerate(words, start=1):
                await self._pause(request, self.manners.token_delay)
                if number == self.manners.die_at_token:
                    os.kill(self.core, signal.SIGKILL)
                    os._exit(1)
                if number == 1:
                    first_at = time.monotonic()
                    metrics.first_token.add(first_at - began)
                metrics.generation_tokens += 1
                yield word
            end = reason
            metrics.whole.add(time.monotonic() - began)
            if len(words) > 1:
                metrics.output_token.add((time.monotonic() - first_at) / (len(words) - 1))
        except CoreDied:
            end = "error"
            raise
        finally:
            metrics.running -= 1
            metrics.cached -= prompt + len(words)
            metrics.finished[end] += 1

    async def _pause(self, request: Request, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            if request.left:
                raise Left
            if self.dead:
                raise CoreDied
            rest = until - time.monotonic()
            if rest <= 0 and not self.stopping:  # an engine that was stopped never sends another token
                await asyncio.sleep(0)
                return
            await asyncio.sleep(min(max(rest, 0.001), STEP))
