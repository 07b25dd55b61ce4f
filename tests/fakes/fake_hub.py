"""A small model hub on loopback, speaking as much of the Hugging Face hub and of ModelScope as a client needs.

In a test: `with FakeHub() as hub: hub.add("a/b", {...}); hub.url`. As a program it serves the demo model as
`tiny/chat`: `python -m tests.fakes.fake_hub PORT`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fakes.fake_hub_answers import handler_of

DEMO = Path(__file__).resolve().parents[2] / "demo" / "tiny-chat"


@dataclass
class FakeModel:
    files: dict[str, bytes]
    sha: str
    gated: bool = False
    private: bool = False
    task: str = "text-generation"
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # told instead of the true ones
    sums: dict[str, str] = field(default_factory=dict)  # likewise

    def is_open_to(self, token: str, good: str) -> bool:
        return not (self.gated or self.private) or (bool(good) and token == good)


@dataclass
class Sent:
    """One answer with a part of a file."""

    name: str
    start: int  # bytes
    size: int = 0


class FakeHub:
    """`with` starts and ends it. Its knobs may be turned at any time."""

    def __init__(self, port: int = 0) -> None:
        self.models: dict[str, FakeModel] = {}
        self.token = "hf_good-token"
        self.status: int | None = None  # every answer of the API and of files
        self.headers: dict[str, str] = {}  # that go with it
        self.page: str | None = None  # an answer to everything, as a proxy's page
        self.cuts: dict[
            str, list[int]
        ] = {}  # bytes after which a file's answers break off, one after another
        self.holds: dict[str, int] = {}  # bytes after which they wait for `go`
        self.go = threading.Event()
        self.busy: dict[
            str, int
        ] = {}  # so many times a file is refused with 429, to be asked for at once again
        self.whole = False  # ranges are not understood
        self.sent: list[Sent] = []
        self.asked: list[str] = []  # paths with their queries
        self.tokens: list[str] = []  # that came with them
        self._server = _Server(("127.0.0.1", port), handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, files: dict[str, bytes], **facts: Any) -> FakeModel:
        sha = hashlib.sha1(json.dumps([name, sorted(files)]).encode()).hexdigest()
        self.models[name] = FakeModel(files, facts.pop("sha", sha), **facts)
        return self.models[name]

    def note(self, name: str, start: int) -> Sent:
        """That a part of a file goes out."""
        self.sent.append(Sent(name, start))
        return self.sent[-1]

    def sent_of(self, name: str) -> int:
        """Bytes of one file that went out, in all answers together."""
        return sum(one.size for one in self.sent if one.name == name)

    def serve_forever(self) -> None:
        self._server.serve_forever(0.05)

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*_)


def main() -> None:
    hub = FakeHub(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    hub.add("tiny/chat", {path.name: path.read_bytes() for path in DEMO.iterdir() if path.is_file()})
    print(f"tiny/chat is at {hub.url}", flush=True)
    hub.serve_forever()


if __name__ == "__main__":
    main()
