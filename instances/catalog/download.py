"""Fetches a model from a hub: `python -m instances.catalog.download`, on the engine's Python.

Into the Hugging Face cache, in its layout, so that vLLM and others find it; or into a folder. It only takes what vLLM
needs, checks it, and may be ended at any moment: the next run goes on where this one stopped. A branch is said to be
here only when all its files are. Tokens come from the environment: HF_TOKEN, MODELSCOPE_API_TOKEN.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from instances.catalog import asking, cache, files, hub, modelscope, space
from instances.catalog.asking import Hub
from instances.catalog.failures import CatalogFailure, NotFound, of_os_error
from instances.catalog.fetching import Fetcher, Piece
from instances.jobs.tell import Tell

AT_ONCE = 4  # files
TELL_EVERY = 0.25  # seconds
PATIENCE = 30.0  # seconds for the next bytes
LISTINGS = {"hub": hub.listing, "modelscope": modelscope.listing}


@dataclass(frozen=True)
class Wish:
    """What is to be fetched, and from whom."""

    source: str  # "hub" or "modelscope"
    model: str
    revision: str | None
    to: Path  # the Hugging Face cache, or the model's folder
    mistral: bool = False  # the weights in Mistral's own format, where there are both


def download(wish: Wish, tell: Tell, environ: Mapping[str, str] = os.environ) -> Path:
    """The model's folder. Raises CatalogFailure or OSError."""
    asked = _hub_of(wish.source, environ)
    tell.say(f"Asking {asked.title}")
    listing = LISTINGS[wish.source](asked.endpoint, wish.model, wish.revision, asked.token)
    wanted = files.needed(listing.files, mistral=wish.mistral)
    if not any(files.is_weights(file.name) for file in wanted):
        raise NotFound(
            f"{wish.model} has no weights that vLLM reads (safetensors or PyTorch's).",
            "Choose another publisher's copy of it: one with files named *.safetensors.",
        )
    if wish.source == "hub":
        pieces = [_in_cache(file, wish, listing.sha, asked) for file in wanted]
        folder = cache.storage(wish.to, wish.model) / "snapshots" / listing.sha
    else:
        pieces = [_in_folder(file, wish, listing.sha, asked) for file in wanted]
        folder = wish.to
    _fetch_all(pieces, wish, asked, tell)
    if wish.source == "hub":
        _remember(cache.storage(wish.to, wish.model), wish.revision or "main", listing.sha)
    if lacking := cache.missing(folder, mistral=wish.mistral):
        raise NotFound(f"{wish.model} came whole, but lacks {lacking}.", "vLLM may not be made for it.")
    return folder


def _hub_of(source: str, environ: Mapping[str, str]) -> Hub:
    if source == "hub":
        token = environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN")
        return Hub(hub.TITLE, hub.endpoint_of(environ), token, PATIENCE)
    return Hub(
        modelscope.TITLE, modelscope.endpoint_of(environ), environ.get("MODELSCOPE_API_TOKEN"), PATIENCE
    )


def _in_cache(file: files.File, wish: Wish, sha: str, asked: Hub) -> Piece:
    """Named by its checksum, as the cache does; by a name of our own where the hub tells none."""
    storage = cache.storage(wish.to, wish.model)
    name = file.sha256 or file.git or hashlib.sha256(f"{sha}/{file.name}".encode()).hexdigest()
    return Piece(
        file,
        f"{asked.endpoint}/{hub.resolve_path(wish.model, sha, file.name)}",
        storage / "blobs" / name,
        storage / "snapshots" / sha / file.name,
        wish.to / ".locks" / storage.name / f"{name}.lock",
    )


def _in_folder(file: files.File, wish: Wish, revision: str, asked: Hub) -> Piece:
    url = f"{asked.endpoint}/{modelscope.download_path(wish.model, revision, file.name)}"
    return Piece(file, url, wish.to / file.name)


def _fetch_all(pieces: Sequence[Piece], wish: Wish, asked: Hub, tell: Tell) -> None:
    total = sum(piece.file.size or 0 for piece in pieces)
    here = sum(piece.done for piece in pieces)
    space.demand(wish.to, max(total - here, 0))
    print(
        f"{wish.model}, from {asked.page(wish.model)}: {len(pieces)} files, {space.words(total)},"
        f" {space.words(here)} of it here already.",
        flush=True,
    )
    small = [piece for piece in pieces if not files.is_weights(piece.file.name)]
    large = [piece for piece in pieces if files.is_weights(piece.file.name)]
    with asking.client(asked, PATIENCE) as web:
        fetcher = Fetcher(asked, wish.model, web)
        for batch in (small, large):  # with the weights it counts as complete, so they come last
            with ThreadPoolExecutor(AT_ONCE) as threads:
                running = {threads.submit(fetcher.fetch, piece) for piece in batch}
                while running:
                    done, running = wait(running, TELL_EVERY)
                    tell.say(f"Downloading {wish.model}", sum(piece.done for piece in pieces), total)
                    failed = next((error for one in done if (error := one.exception())), None)
                    if failed is not None:
                        fetcher.stop.set()
                        raise failed


def _remember(storage: Path, revision: str, sha: str) -> None:
    """The commit that a branch names; by rename, so that nobody reads half of it."""
    if revision == sha:
        return
    ref = storage / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    draft = ref.with_name(f".{ref.name}.{os.getpid()}")
    draft.write_text(sha)
    draft.replace(ref)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m instances.catalog.download", description=__doc__)
    parser.add_argument("--source", choices=("hub", "modelscope"), required=True)
    parser.add_argument("--model", required=True, help="as the hub names it")
    parser.add_argument("--revision", help="a branch, a tag or a commit")
    parser.add_argument(
        "--to", type=Path, required=True, help="the Hugging Face cache, or the model's folder"
    )
    parser.add_argument("--mistral", action="store_true", help="prefer the weights in Mistral's own format")
    parser.add_argument("--progress", type=Path, required=True, help="the file to tell how far it is")
    options = parser.parse_args(arguments)
    tell = Tell(options.progress)
    wish = Wish(options.source, options.model, options.revision, options.to.absolute(), options.mistral)
    began = time.monotonic()
    try:
        folder = download(wish, tell)
    except CatalogFailure as failure:
        return _failed(tell, failure)
    except OSError as error:
        return _failed(tell, of_os_error(error, wish.to))
    print(f"{folder} is ready after {time.monotonic() - began:.0f} s.", flush=True)
    tell.finish(str(folder))
    return 0


def _failed(tell: Tell, failure: CatalogFailure) -> int:
    print(failure.reason, failure.mend, flush=True)
    tell.fail(failure.reason, failure.mend)
    return 1


if __name__ == "__main__":
    sys.exit(main())
