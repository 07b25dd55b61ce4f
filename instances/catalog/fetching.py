"""Fetch one file so that nothing is fetched twice: what came so far lies beside its place as `*.incomplete`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from .asking import Hub, of_http_error, refusal
from .failures import AGAIN, CatalogFailure, Damaged, NotAHub, RateLimited, Unreachable
from .files import File
from .space import words

CHUNK = 2**20  # bytes
TRIES = 5  # in a row that bring nothing
LONGEST_PAUSE = 60.0  # seconds between two of them
RANGE_NOT_SATISFIABLE = 416


@dataclass
class Piece:
    """One file on its way. `done` is written by the thread that fetches it, and read by the one that tells."""

    file: File
    url: str
    path: Path  # where it belongs
    link: Path | None = None  # what leads to it, in the Hugging Face cache
    lock: Path | None = None  # that other programs hold while they fetch the same
    done: int = 0  # bytes
    same: bool | None = None  # whether what is there has the checksum, once it was looked at

    def __post_init__(self) -> None:
        self.done = _size(self.path) if self.is_here else _size(self.part)

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.incomplete")

    @property
    def is_here(self) -> bool:
        """A blob of the cache is named by its checksum; any other file may be that of an earlier upload."""
        if not self.path.is_file() or self.file.size not in (None, _size(self.path)):
            return False
        if self.link is not None or not self.file.sha256:
            return True
        if self.same is None:
            digest = _Digest(self.file)
            digest.read(self.path)
            self.same = digest.is_right
        return self.same


class Fetcher:
    """Fetches files of one model. Safe to use from several threads; `stop` ends them all."""

    def __init__(self, hub: Hub, model: str, web: httpx.Client) -> None:
        self.hub = hub
        self.model = model
        self.web = web
        self.stop = threading.Event()

    def fetch(self, piece: Piece) -> None:
        """Until the file is whole and in its place. Raises CatalogFailure or OSError."""
        began, had = time.monotonic(), piece.done
        piece.path.parent.mkdir(parents=True, exist_ok=True)
        with _held(piece.lock, self.stop):
            if not piece.is_here:
                self._bring(piece)
                seconds = time.monotonic() - began
                print(f"{piece.file.name}: {words(piece.done - had)} in {seconds:.0f} s", flush=True)
        if piece.link is not None:
            _lead(piece.link, piece.path)

    def _bring(self, piece: Piece) -> None:
        tries = 0
        while True:
            before = _size(piece.part)
            try:
                self._attempt(piece)
                return
            except (Unreachable, RateLimited) as failure:
                tries = 1 if _size(piece.part) > before else tries + 1
                if tries >= TRIES:
                    raise
                told = failure.wait if isinstance(failure, RateLimited) else None
                pause = min(2.0 ** (tries - 1) if told is None else told, LONGEST_PAUSE)
                print(f"{piece.file.name}: {failure.reason} Trying again in {pause:.0f} s.", flush=True)
                if self.stop.wait(pause):
                    raise

    def _attempt(self, piece: Piece) -> None:
        """From where the last one ended to the end; then checked and put in its place."""
        file, part = piece.file, piece.part
        if file.size is not None and _size(part) > file.size:
            part.unlink()
        digest = _Digest(file)
        digest.read(part)
        if file.size is None or digest.size < file.size or file.size == 0:
            digest = self._receive(piece, digest)
        if file.size is not None and digest.size != file.size:
            raise Unreachable(f"{file.name} was cut off.", AGAIN)
        if not digest.is_right:
            part.unlink()
            raise Damaged(
                f"{file.name} is not what {self.hub.title} promised: its checksum is another.",
                "Try again; that file is fetched anew. If it stays so, ask the publisher.",
            )
        part.replace(piece.path)

    def _receive(self, piece: Piece, digest: _Digest) -> _Digest:
        start = digest.size
        headers = {"range": f"bytes={start}-"} if start else {}
        try:
            with self.web.stream("GET", piece.url, headers=headers) as response:
                if response.status_code == RANGE_NOT_SATISFIABLE and start:
                    piece.part.unlink()
                    raise Unreachable(f"{piece.file.name} has another size than before.", AGAIN)
                if not response.is_success:
                    raise refusal(self.hub, response, self.model)
                if start and response.status_code != httpx.codes.PARTIAL_CONTENT:
                    start, digest = 0, _Digest(piece.file)  # it sends the whole
                elif start and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
                    raise NotAHub(f"{self.hub.title} sent another part than was asked for.", AGAIN)
                with piece.part.open("ab" if start else "wb") as out:
                    for chunk in response.iter_bytes():
                        out.write(chunk)
                        out.flush()  # a signal may end it
                        digest.add(chunk)
                        piece.done = digest.size
                        if self.stop.is_set():
                            raise Unreachable(f"{piece.file.name} was given up.", AGAIN)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise of_http_error(self.hub, error) from error
        return digest


class _Digest:
    """The checksum that is known of a file, taken while it comes."""

    def __init__(self, file: File) -> None:
        self.size = 0  # bytes
        self.wanted = file.sha256 or (file.git if file.size is not None else "")
        self._hash = hashlib.sha256() if file.sha256 else hashlib.sha1(usedforsecurity=False)
        if not file.sha256:
            self._hash.update(b"blob %d\0" % (file.size or 0))  # as git counts it

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.wanted:
            self._hash.update(chunk)

    def read(self, part: Path) -> None:
        """What came earlier."""
        try:
            with part.open("rb") as file:
                while chunk := file.read(CHUNK):
                    self.add(chunk)
        except FileNotFoundError:
            return

    @property
    def is_right(self) -> bool:
        return not self.wanted or self._hash.hexdigest() == self.wanted


@contextmanager
def _held(lock: Path | None, stop: threading.Event) -> Iterator[None]:
    """The lock that Hugging Face's own programs hold; a disk that knows no locks goes without."""
    if lock is None:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        while not _is_locked(file.fileno()):
            if stop.wait(0.5):
                raise CatalogFailure("Another program fetches the same file.", AGAIN)
        yield


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _lead(link: Path, path: Path) -> None:
    """By rename, so that a link that led elsewhere is never missing."""
    link.parent.mkdir(parents=True, exist_ok=True)
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(os.path.relpath(path, link.parent))
    draft.replace(link)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
