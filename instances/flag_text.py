"""Flags and environment as a person types them, and back: what a text means, and which text means a value."""

from __future__ import annotations

import json
import re
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]+)?")
WORDS = {"true": True, "false": False}
FLAG = re.compile(r"([^\s=]+)\s*(?:=|\s)?\s*(.*)", re.DOTALL)


def value_of(text: str) -> Any:
    """The value of a flag that no schema knows: a number, true or false, JSON, or else the text itself."""
    if text in WORDS:
        return WORDS[text]
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1]
    if NUMBER.fullmatch(text) or text[:1] in ("{", "[", '"'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        plain = isinstance(value, float) and str(value) != text  # "1.10" is a version, not 1.1
        return text if plain else value
    return text


def text_of(value: Any) -> str:
    """What `value_of` reads back as this value."""
    if isinstance(value, str):
        return value if value_of(value) == value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def args_of(text: str) -> dict[str, Any]:
    """Lines of `--flag value`, `flag=value` or `--flag`, by names without dashes.

    One that comes again keeps its dashes, so that whoever judges the flags finds it given twice.
    """
    args: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        flag, value = flag_of(line)
        while flag in args:
            flag = f"--{flag}"
        args[flag] = value_of(value) if value else True
    return args


def flag_of(line: str) -> tuple[str, str]:
    """A flag as one writes it, `--seed 7` or `seed=7`: its name without leading dashes, and the text after it."""
    found = FLAG.fullmatch(line.strip())
    name, value = found.groups() if found else (line.strip(), "")
    return name.removeprefix("--"), value


def env_of(text: str) -> dict[str, str]:
    """Lines of `NAME=value`. Raises ValidationError on one that is not."""
    env: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, sign, value = line.partition("=")
        if not sign:
            raise ValidationError(_("Write NAME=value; “%(line)s” has no equals sign.") % {"line": line[:40]})
        env[name.strip()] = value.strip()
    return env
