"""The answers of the small model hub: what it says to each question of a client."""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from tests.fakes.fake_hub import FakeHub, FakeModel

STEP = 16 * 1024  # bytes written at once
LARGE = (".safetensors", ".bin", ".gguf")  # kept elsewhere, so that a redirect leads there


def handler_of(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(Answer):
        pass

    Handler.hub = hub
    return Handler


class Answer(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    @property
    def bearer(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.hub.asked.append(self.path)
        self.hub.tokens.append(self.bearer)
        if self.hub.page is not None:
            self._send(200, self.hub.page.encode(), "text/html")
        elif self.hub.status is not None:
            self._send(self.hub.status, b"{}", more=self.hub.headers)
        elif path == "/api/models":
            self._search(query)
        elif path == "/openapi/v1/models":
            self._modelscope_search(query)
        elif found := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo/files", path):
            self._modelscope_files(found[1])
        elif found := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo", path):
            if model := self._model(found[1]):
                self._file(model, query.get("FilePath", ""))
        elif found := re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)/revision/(.+)", path):
            self._info(found[1], found[2])
        elif found := re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)", path):
            self._info(found[1], "main")
        elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self._file(self.hub.models[found[1]], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(found[1], found[3])
        else:
            self._send(404, b"{}")

    # ------------------------------------------------------------ the Hugging Face hub

    def _search(self, query: dict[str, str]) -> None:
        text = query.get("search", "").lower()
        answer = [
            {
                "id": name,
                "downloads": 1000 - n,
                "likes": 7,
                "gated": "manual" if model.gated else False,
                "pipeline_tag": model.task,
                "safetensors": {"total": sum(model.counts.values())} if model.counts else None,
                "lastModified": "2026-05-01T10:00:00.000Z",
            }
            for n, (name, model) in enumerate(self.hub.models.items())
            if text in name.lower()
        ]
        self._json(200, answer[: int(query.get("limit", 20))])

    def _info(self, name: str, revision: str) -> None:
        model = self._model(name, listing=True)
        if model is None:
            return
        if revision not in ("main", model.sha):
            self._json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for file, content in model.files.items():
            size = model.sizes.get(file, len(content))
            entry: dict[str, Any] = {"rfilename": file, "size": size, "blobId": git_sum(content)}
            if file.endswith(LARGE):
                sha256 = model.sums.get(file) or hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 130}
            siblings.append(entry)
        told = {"parameters": model.counts, "total": sum(model.counts.values())} if model.counts else None
        answer = {"id": name, "sha": model.sha, "gated": "manual" if model.gated else False}
        self._json(200, {**answer, "siblings": siblings, "safetensors": told})

    def _resolve(self, name: str, file: str) -> None:
        model = self._model(name)
        if model is None:
            return
        if file not in model.files:
            self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        elif file.endswith(LARGE):
            content = model.files[file]
            more = {
                "Location": f"/cdn/{name}/{file}",
                "X-Repo-Commit": model.sha,
                "X-Linked-Size": str(len(content)),
                "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            }
            self._send(302, b"", more=more)
        else:
            self._file(model, file)

    # ------------------------------------------------------------ ModelScope

    def _modelscope_search(self, query: dict[str, str]) -> None:
        text = query.get("search", "").lower()
        found = [
            {
                "id": name,
                "downloads": 50,
                "likes": 3,
                "tasks": [model.task],
                "params": sum(model.counts.values()),
            }
            for name, model in self.hub.models.items()
            if text in name.lower()
        ]
        self._json(200, {"success": True, "data": {"models": found, "total_count": len(found)}})

    def _modelscope_files(self, name: str) -> None:
        model = self._model(name)
        if model is None:
            return
        found = [
            {
                "Path": file,
                "Name": file,
                "Type": "blob",
                "Size": model.sizes.get(file, len(content)),
                "Sha256": model.sums.get(file) or hashlib.sha256(content).hexdigest(),
            }
            for file, content in model.files.items()
        ]
        self._json(200, {"Code": 200, "Data": {"Files": found}})

    # ------------------------------------------------------------ both

    def _model(self, name: str, *, listing: bool = False) -> FakeModel | None:
        """The model, unless it is not there or not open; then that is the answer."""
        model = self.hub.models.get(name)
        if self.bearer and self.bearer != self.hub.token:
            self._json(401, {"error": "Invalid credentials in Authorization header"})
        elif model is None or (model.private and not model.is_open_to(self.bearer, self.hub.token)):
            # The hub does not tell a stranger which private models there are.
            self._json(404 if self.bearer else 401, {"error": "Not found"}, {"X-Error-Code": "RepoNotFound"})
        elif model.gated and not listing and not model.is_open_to(self.bearer, self.hub.token):
            self._json(401, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        else:
            return model
        return None

    def _file(self, model: FakeModel, name: str) -> None:
        content = model.files[name]
        if self.hub.busy.get(name, 0):
            self.hub.busy[name] -= 1
            self._send(429, b"{}", more={"Retry-After": "0"})
            return
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(span[1]) if span and not self.hub.whole else 0
        if start and start >= len(content):
            self._send(416, b"", more={"Content-Range": f"bytes */{len(content)}"})
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{git_sum(content)}"')
        self.send_header("X-Repo-Commit", model.sha)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command != "HEAD":
            self._body(name, content, start)

    def _body(self, name: str, content: bytes, start: int) -> None:
        sent = self.hub.note(name, start)
        cuts = self.hub.cuts.get(name) or [len(content)]
        end = min(cuts.pop(0), len(content))
        hold = self.hub.holds.get(name, len(content))
        try:
            while (at := start + sent.size) < end:
                if at >= hold:
                    self.hub.go.wait()
                limit = min(end, hold) if at < hold else end
                piece = content[at : min(at + STEP, limit)]
                self.wfile.write(piece)
                self.wfile.flush()
                sent.size += len(piece)
        except OSError:  # the client has gone
            pass
        if start + sent.size < len(content):
            self.close_connection = True

    def _json(self, status: int, answer: Any, more: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(answer).encode(), more=more)

    def _send(
        self, status: int, body: bytes, kind: str = "application/json", more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def git_sum(content: bytes) -> str:
    """The name that git gives to a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
