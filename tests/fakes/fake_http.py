"""Just enough of HTTP/1.1 for the fake engine."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tests.fakes.fake_output import write

KEEP_ALIVE = 5.0  # seconds, as uvicorn under vLLM


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def left(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), KEEP_ALIVE)
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    body = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif length := int(headers.get("content-length", 0)):
        body = await reader.readexactly(length)
    return Request(method, target.partition("?")[0], headers, body, reader, writer)


QUIET: set[str] = set()  # paths without a line in the access log, as one of vLLM's flags asks


async def send(request: Request, status: int, content: Any) -> None:
    body = (
        content.encode()
        if isinstance(content, str)
        else b""
        if content is None
        else json.dumps(content).encode()
    )
    kind = "text/plain; version=0.0.4; charset=utf-8" if isinstance(content, str) else "application/json"
    head(request, status, kind, f"content-length: {len(body)}")
    request.writer.write(b"" if request.method == "HEAD" else body)
    await request.writer.drain()


def head(request: Request, status: int, kind: str, length: str) -> None:
    phrase = HTTPStatus(status).phrase
    address, port, *_ = request.writer.get_extra_info("peername")
    if request.path not in QUIET:
        write(f'INFO:     {address}:{port} - "{request.method} {request.path} HTTP/1.1" {status} {phrase}\n')
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    lines = (
        f"HTTP/1.1 {status} {phrase}",
        f"date: {date}",
        "server: uvicorn",
        f"content-type: {kind}",
        length,
    )
    request.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


async def send_event(request: Request, content: Any) -> None:
    data = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    block = f"data: {data}\n\n".encode()
    request.writer.write(b"%x\r\n%b\r\n" % (len(block), block))
    await request.writer.drain()
