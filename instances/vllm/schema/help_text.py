"""Reads the flags of an engine out of the text of its `--help`, where its parser cannot be asked."""

from __future__ import annotations

import re
from typing import Any

GROUP = re.compile(r"(\S[^\n]*?):$")
OPTION = re.compile(r"  (-[^\n]*)$")
SPELLING = re.compile(r"-{1,2}[A-Za-z0-9][\w.-]*")
BRACES = re.compile(r"\{([^}]*)\}")
DEFAULT = re.compile(r"\(default: (.*)\)\s*$")
SENTENCE_GAP = re.compile(r" {2,}")
MODEL = {  # `--model` is understood, though the parser of `serve` does not list it
    "name": "model",
    "spellings": ["--model"],
    "group": "General",
    "kind": "text",
    "help": "The model to serve: a name on the hub, or a folder.",
}
UNSAID = ("None", "==SUPPRESS==", "<factory>")


def name_of(spellings: list[str]) -> str:
    """The flag's own name: the first long spelling, without dashes."""
    long = [spelling for spelling in spellings if spelling.startswith("--")]
    return (long or spellings)[0].lstrip("-")


def flags_of(text: str) -> list[dict[str, Any]]:
    """Every option of an argparse help text but `--help`; empty when there is none."""
    flags: list[dict[str, Any]] = []
    group, help_lines = "General", None
    for line in text.splitlines():
        if found := GROUP.fullmatch(line):
            group = "General" if found[1] in ("options", "optional arguments") else found[1]
            help_lines = None
        elif found := OPTION.fullmatch(line):
            head, _gap, tail = found[1].partition("  ")
            help_lines = [tail]
            if "--help" not in head:
                flags.append(_flag(head, group) | {"help": help_lines})
        elif help_lines is not None and line.startswith("   "):
            help_lines.append(line)
    for flag in flags:
        _read_help(flag)
    return flags if any(flag["name"] == "model" for flag in flags) or not flags else [MODEL, *flags]


def _flag(head: str, group: str) -> dict[str, Any]:
    """Words in braces are choices; followed by others ("or a name ...") they only suggest some."""
    braces = BRACES.search(head)
    if braces and head[braces.end() :].startswith(" or "):
        head, braces = head[: braces.start()] + "VALUE", None
    bare = BRACES.sub("VALUE", head)
    spellings = [word for word in SPELLING.findall(bare) if f" {word}" in f" {bare}"]
    has_value = bool(re.sub(r"[\s,]", "", SPELLING.sub("", bare)))
    return {
        "name": name_of(spellings),
        "spellings": list(dict.fromkeys(spellings)),
        "group": group,
        "kind": "switch" if not has_value else "text" if braces else "either",
        "choices": [word for word in braces[1].split(",") if word != "None"] if braces else [],
        "several": " ..." in head,
        "optional": has_value and " [" in head and " ..." not in head,
    }


def _read_help(flag: dict[str, Any]) -> None:
    """The default stands at the end of the help; a kind can only be guessed by it."""
    text = " ".join(" ".join(flag["help"]).split())
    flag["help"] = DEFAULT.sub("", text).strip()
    flag["default"] = None
    found = DEFAULT.search(text)
    if found is None or found[1] in UNSAID:
        return
    if flag["kind"] == "switch":
        flag["default"] = found[1] == "True"
    elif re.fullmatch(r"-?\d+", found[1]):
        flag["kind"], flag["default"] = "number", int(found[1])
    elif re.fullmatch(r"-?\d+\.\d+", found[1]):
        flag["kind"], flag["default"] = "number", float(found[1])
    elif found[1][:1] not in "{[<(":
        flag["default"] = found[1]
