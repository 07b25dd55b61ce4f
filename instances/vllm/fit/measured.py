"""What an engine's log says of the memory that it took, whatever its version and device."""

from __future__ import annotations

import re
from typing import Any

LINE_LIMIT = 1_000  # characters looked at
GIB, GB = 2**30, 10**9

# Of real lines, vLLM 0.6 to 0.33; what is in GB there was counted in GiB.
WEIGHTS = re.compile(r"(?:Model loading took|Loading (?:model )?weights took) (?P<gib>[\d.]+) ?Gi?B")
CHECKPOINT = re.compile(r"Checkpoint size: (?P<gib>[\d.]+) GiB")
CACHE_BYTES = (
    re.compile(r"Available KV cache memory: (?P<gib>[\d.]+) ?Gi?B"),
    re.compile(r"(?:Explicitly|Auto) set \((?P<gib>[\d.]+)/[\d.]+\) GiB for KV cache"),
    re.compile(r"reserved (?P<gib>[\d.]+) GiB memory for KV Cache as specified"),
    re.compile(r"\bkv_cache_size=(?P<gib>[\d.]+)Gi?B"),
    re.compile(r"memory reserved for KV Cache is (?P<gib>[\d.]+)Gi?B"),
)
CACHE_TOKENS = re.compile(r"\b\w+(?: \+ host)? KV cache size: (?P<tokens>[\d,]+) tokens")
CONCURRENCY = re.compile(
    r"Maximum concurrency for (?P<context>[\d,]+) tokens per request: (?P<times>[\d.]+)x"
)
GRAPHS = re.compile(r"Graph capturing finished in [\d.]+ secs?, took (?P<gib>[\d.]+) Gi?B")
ACTIVATIONS = re.compile(r"PyTorch activation peak memory takes (?P<gib>[\d.]+)Gi?B")


class MeasuredReader:
    """Collects, line by line, what one launch has said. Of several ranks the largest weights count, the least cache.

    `found`: `weights`, `checkpoint` (on the disk: all that a CPU engine tells), `cache`, `graphs`, `activations` in
    bytes; `tokens`, `context`; `sequences` (of `context` tokens at once). What was not said is not there.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def feed(self, text: str) -> bool:
        """Take in one cleaned line, and say whether it told something new."""
        text = text[:LINE_LIMIT]
        if "iB" not in text and "GB" not in text and "KV cache" not in text and "concurrency" not in text:
            return False
        before = dict(self.found)
        if match := WEIGHTS.search(text):
            self._most("weights", _bytes(match))
        elif match := CHECKPOINT.search(text):
            self._most("checkpoint", _bytes(match))
        for pattern in CACHE_BYTES:
            if match := pattern.search(text):
                self._least("cache", _bytes(match))
        if match := CACHE_TOKENS.search(text):
            self._least("tokens", _whole(match["tokens"]))
        if match := CONCURRENCY.search(text):
            self._keep("context", _whole(match["context"]))
            self._keep("sequences", _number(match["times"]))
        if match := GRAPHS.search(text):
            self._most("graphs", _bytes(match))
        if match := ACTIVATIONS.search(text):
            self._most("activations", _bytes(match))
        return self.found != before

    def _most(self, name: str, value: float) -> None:
        self.found[name] = max(int(value), self.found.get(name, 0))

    def _least(self, name: str, value: float) -> None:
        self.found[name] = min(int(value), self.found.get(name, int(value)))

    def _keep(self, name: str, value: float) -> None:
        self.found[name] = value


def error(estimated: object, measured: object) -> float | None:
    """By what share an estimate was off, signed; None when one of the two is not known."""
    if not isinstance(estimated, int | float) or not isinstance(measured, int | float) or measured <= 0:
        return None
    return (estimated - measured) / measured


def _bytes(match: re.Match[str]) -> int:
    return int(_number(match["gib"]) * GIB)


def _number(text: str) -> float:
    try:
        return float(text.strip("."))
    except ValueError:
        return 0.0


def _whole(text: str) -> int:
    return int(text.replace(",", "") or 0)
