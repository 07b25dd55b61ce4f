"""What in a pasted text must not be shown again: keys, tokens and passwords, by their names and by their looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "•••"
MOST = 500
SHORTEST = 6  # characters of a secret that is looked for everywhere; shorter ones are ordinary words too

NAMES = re.compile(r"TOKEN(?!IZ|_?ID)|SECRET|PASSW|CREDENTIAL|KEYS?(?:$|_)", re.IGNORECASE)
FLAGS = frozenset(("api-key", "hf-token", "token", "password", "passwd", "secret", "key", "access-token"))

HUB_NAMES = {
    "HF_TOKEN": "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN": "HF_TOKEN",
    "HUGGINGFACE_HUB_TOKEN": "HF_TOKEN",
    "HUGGINGFACE_TOKEN": "HF_TOKEN",
    "HF_API_TOKEN": "HF_TOKEN",
    "MODELSCOPE_API_TOKEN": "MODELSCOPE_API_TOKEN",
}

_NAMED = re.compile(
    r"(?<![A-Za-z0-9_])(?P<name>[A-Za-z_][A-Za-z0-9_]{0,60})[\"']?(?P<sign>\s{0,4}[=:]\s{0,4})(?P<value>"
    r"\"[^\"\n]{0,400}\"|'[^'\n]{0,400}'|[^\s'\",;}\]]{1,400})"
)
_FLAG = re.compile(
    r"(?<![\w-])(?P<name>--?[\w-]{0,40}?(?:api[-_]k\w{0,2}|hf[-_]t\w{0,4}|token|passw(?:or)?d|secret|key))(?![\w-])"
    r"(?P<sign>[=\s\"',\\:]{1,12})(?P<value>[^\s'\",;}\]\\-][^\s'\",;}\]\\]{0,400})",
    re.IGNORECASE,
)
_LOOKS = re.compile(
    r"hf_[A-Za-z0-9]{30,}|(?:(?<![/\w.-])|(?<=://))hf_(?:[A-Za-z0-9]{16,}|(?=[A-Za-z]{0,20}\d)[A-Za-z0-9]{6,})(?![/\w])"
    r"|\bsk-[A-Za-z0-9_-]{6,}|\bgh[pousr]_[A-Za-z0-9]{8,}|\bnvapi-[A-Za-z0-9_-]{8,}|\bAKIA[A-Z0-9]{12,}"
    r"|\bms-[0-9a-f]{8}-[0-9a-f-]{20,60}|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+"
)
_LOGIN = re.compile(r"\blogin\b[^\n]{0,200}?\s-p[\s=]{0,4}[\"']?(?P<value>[^\s\"']{1,400})")
_COUNT = re.compile(r"[\d.]{1,20}[kKmMgG]?|true|false|none|", re.IGNORECASE)
_BEARER = re.compile(r"(?P<sign>\b(?:Bearer|Basic)\s{1,4})(?P<value>[^\s'\"]{4,400})", re.IGNORECASE)
_ADDRESS = re.compile(r"(?P<sign>://[^\s/:@]{0,100}:)(?P<value>[^\s/@]{1,200})(?=@)")
_PLACEHOLDER = re.compile(
    r"[<\[{(].*|.*[>}\])]|.*\$.*|(?:hf_|sk-)?(?:[xX*.•_-]+|your.*|my[-_].*|.*_?here|replace.*|change.*|example.*"
    r"|token|none|null|empty|secret|xxx.*|abc123|(.)\1{5,})",
    re.IGNORECASE | re.DOTALL,
)


def is_secret_name(name: str, value: str = "") -> bool:
    """Whether an environment name, or a key, says that it holds a secret. Counts of tokens are none."""
    if not NAMES.search(name):
        return False
    return not (name.upper().endswith("TOKENS") and _COUNT.fullmatch(value.strip()))


def is_placeholder(value: str) -> bool:
    """`hf_xxxxxxxx`, `<your token>`: what stands in examples."""
    return not value.strip() or _PLACEHOLDER.fullmatch(value.strip()) is not None


class Secrets:
    """All secrets of one text. Whatever goes out is masked with it."""

    def __init__(self, text: str = "") -> None:
        self._values: set[str] = set()
        self._sorted: list[str] | None = None
        self.hub: dict[str, str] = {}  # tokens of model hubs, by their usual names
        given = list(_FLAG.finditer(text))
        meant = {found["value"].strip("${}") for found in given if found["value"].startswith("$")}
        for found in _named(text):
            value = found["value"].strip("\"'")
            if is_secret_name(found["name"], value) or found["name"] in meant:
                self.add(value, found["name"])
        for found in given:
            self.add(found["value"], found["name"].lstrip("-").replace("-", "_"))
        for found in _LOGIN.finditer(text):
            self.add(found["value"])
        for found in _LOOKS.finditer(text):
            self.add(found[0], "HF_TOKEN" if found[0].startswith("hf_") else "")
        for pattern in (_BEARER, _ADDRESS):
            for found in pattern.finditer(text):
                self.add(found["value"])

    def add(self, value: str, name: str = "") -> None:
        value = value.strip()
        if not value or value == MASK or value.startswith("$") or len(self._values) >= MOST:
            return
        self._values.add(value)
        self._sorted = None
        hub = HUB_NAMES.get(name.upper())
        if hub and not is_placeholder(value):
            self.hub.setdefault(hub, value)

    def masked(self, text: str) -> str:
        """What a person pasted, without any of them: by their names, their looks and their values."""
        text = _FLAG.sub(_mask_flag, text)
        text = _mask_named(text)
        for pattern in (_BEARER, _ADDRESS):
            text = pattern.sub(lambda found: f"{found['sign']}{MASK}", text)
        return self.without(text)

    def without(self, sentence: str) -> str:
        """A sentence of ours, which may quote what was pasted, without them."""
        text = _LOOKS.sub(MASK, sentence)
        for value in self._all():
            if value in text:
                if len(value) >= SHORTEST:
                    text = text.replace(value, MASK)
                elif len(value) > 2 and not is_placeholder(value):
                    text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", lambda _: MASK, text)
        return text

    def inside(self, value: Any) -> bool:
        """Whether a value of a configuration holds one, however deep."""
        if isinstance(value, str):
            long = (secret for secret in self._all() if len(secret) >= SHORTEST)
            return bool(_LOOKS.search(value)) or any(secret in value for secret in long)
        if isinstance(value, Mapping):
            return any(self.inside(one) for pair in value.items() for one in pair)
        return isinstance(value, Iterable) and any(self.inside(one) for one in value)

    def _all(self) -> list[str]:
        """The longest first, so that none is cut by another one."""
        if self._sorted is None:
            self._sorted = sorted(self._values, key=len, reverse=True)
        return self._sorted


def _named(text: str) -> Iterator[re.Match[str]]:
    """`NAME=value`, also inside the value of another name: `Environment="HF_TOKEN=..."`."""
    at = 0
    while found := _NAMED.search(text, at):
        yield found
        inside = found.start("value") + (found["value"][:1] in ("'", '"'))
        at = found.end() if is_secret_name(found["name"], found["value"]) else inside


def _mask_named(text: str) -> str:
    out, at = [], 0
    for found in _named(text):
        value = found["value"].strip("\"'")
        if value == MASK or value.startswith("$") or not is_secret_name(found["name"], value):
            continue
        out += [text[at : found.start("value")], MASK]
        at = found.end()
    return "".join((*out, text[at:]))


def _mask_flag(found: re.Match[str]) -> str:
    """A name that stands for a secret tells nothing; it stays, so that the text can be read again."""
    shown = found["value"] if found["value"].startswith("$") else MASK
    return f"{found['name']}{found['sign']}{shown}"
