"""Writes down every flag of `vllm serve`. Runs on the engine's own Python, with nothing but vLLM beside it.

    python -m instances.vllm.schema.dump --out FILE [--progress FILE]

The engine's own parser is asked; where its modules have moved once more, the text of `--help` is read. Only
what is the same on every machine goes into the file: no paths, and no defaults that depend on the hardware.
"""

from __future__ import annotations

import argparse
import enum
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from instances.jobs.tell import Tell
from instances.vllm.schema import help_text

PARSERS = (  # where vLLM kept what builds the parser, the latest first
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.openai.cli_args",
)
PARSER_CLASSES = ("vllm.utils.argparse_utils", "vllm.utils")
HELP_TIMEOUT = 300  # seconds
LONGEST_HELP = 900  # characters
LONGEST_DEFAULT = 200  # characters of JSON; what is longer says nothing to a person
READERS = {  # parts of the names of vLLM's own reading functions: the kind of what they read
    "human_readable_int": "size",
    "union_dict_and_str": "either",
    "parse_dataclass": "json",
    "loads": "json",
    "kvs": "json",
    "int": "whole",
    "float": "number",
}
APPENDED = re.compile(
    r"(Should either be a valid JSON string|Parse human-readable integers like).*", re.DOTALL
)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def main(argv: Sequence[str]) -> int:
    options = argparse.ArgumentParser(prog="dump", description=__doc__)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--progress", type=Path)
    given = options.parse_args(argv)
    tell = Tell(given.progress) if given.progress else None
    _say(tell, "Reading the engine's flags")
    try:
        version, flags = read()
    except UnreadableFlags as unreadable:
        print(unreadable, flush=True)
        if tell:
            tell.fail(str(unreadable), "The flags of the version that ships with the console are used.")
        return 1
    write(given.out, version, flags)
    _say(tell, f"{len(flags)} flags of vLLM {version}")
    if tell:
        tell.finish(f"{len(flags)} flags")
    return 0


class UnreadableFlags(Exception):
    """The engine would not say which flags it has; carries a sentence."""


def read() -> tuple[str, list[dict[str, Any]]]:
    """The engine's version without its local part, and its flags. Raises UnreadableFlags."""
    try:
        flags = of_parser(engine_parser())
    except Exception as fault:  # whatever a foreign version may raise on the way; the help text is left
        print(f"The parser cannot be asked: {type(fault).__name__}: {fault}", flush=True)
        flags = help_text.flags_of(_help())
    if not flags:
        raise UnreadableFlags("The engine did not say which flags it has.")
    return _version(), flags


def engine_parser() -> argparse.ArgumentParser:
    """vLLM's own parser of `serve`, with help texts. Raises ImportError and whatever that vLLM raises."""
    sys.argv = ["vllm", "serve", "--help"]  # vLLM leaves the help texts out unless it is asked for them
    make = _first(PARSERS, "make_arg_parser")
    parser: argparse.ArgumentParser = make(_first(PARSER_CLASSES, "FlexibleArgumentParser")())
    return parser


def _first(modules: Iterable[str], name: str) -> Any:
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as fault:
            print(f"No {name} in {module}: {fault}", flush=True)
    raise ImportError(name)


def of_parser(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Every option of a parser but `--help`, in the parser's order; the model too, which stands without a name."""
    deprecated = getattr(parser, "_deprecated", ())
    flags = [
        _flag(action, str(group.title or ""), action in deprecated)
        for group in parser._action_groups
        for action in group._group_actions
        if action.option_strings and "--help" not in action.option_strings
    ]
    return flags if any(flag["name"] == "model" for flag in flags) else [help_text.MODEL, *flags]


def _flag(action: argparse.Action, group: str, deprecated: bool) -> dict[str, Any]:
    spellings = list(action.option_strings)
    is_switch = action.nargs == 0 or "Boolean" in type(action).__name__
    several = action.nargs in ("+", "*") or type(action).__name__ == "_AppendAction"
    choices = [_plain(choice) for choice in action.choices or () if choice is not None]
    facts: dict[str, Any] = {
        "name": help_text.name_of(spellings),
        "spellings": spellings,
        "group": "General" if group in ("options", "optional arguments") else group,
        "kind": "switch" if is_switch else _kind(action.type),
        "default": _default(action),
        "choices": [str(choice) for choice in choices],
        "suggested": [] if choices else _suggested(action.metavar),
        "keys": [] if is_switch else _keys(action.type),
        "several": several,
        "optional": action.nargs == "?" and not is_switch,
        "deprecated": deprecated,
        "help": _help_of(action),
    }
    return facts


def _kind(reader: Any) -> str:
    """What a value is, by the name of the function that reads it, or of the one that this one calls."""
    for one in _readers(reader):
        name = getattr(one, "__name__", "")
        if "optional" in name and name not in ("optional_int", "optional_float"):
            continue  # it only lets "None" pass
        for part, kind in READERS.items():
            if part in name:
                return kind
    return "text"


def _readers(reader: Any) -> Iterator[Any]:
    """A reading function, and those that it holds on to, from the outside in."""
    while reader is not None:
        yield reader
        cells = [cell.cell_contents for cell in getattr(reader, "__closure__", None) or ()]
        held = [*cells, *(getattr(reader, "__defaults__", None) or ())]
        reader = next((one for one in held if callable(one)), None)


def _keys(reader: Any) -> list[str]:
    """The keys of a JSON value, where the engine reads it into a class of its own."""
    for one in _readers(reader):
        if fields := getattr(one, "__dataclass_fields__", None):
            return [name for name, field in fields.items() if field.init and name[0] != "_"]
    return []


def _suggested(metavar: Any) -> list[str]:
    """Words that a value may be where others are allowed too; vLLM shows them in the place of a name."""
    if isinstance(metavar, list | tuple):
        return [str(word) for word in metavar]
    listed = re.match(r"\{([^}]+)\}", metavar or "")
    return listed[1].split(",") if listed else []


def _default(action: argparse.Action) -> Any:
    if action.default is argparse.SUPPRESS:
        return None
    value = _plain(action.default)
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value if len(text) <= LONGEST_DEFAULT and not ADDRESS.search(text) else None


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    return value


def _help_of(action: argparse.Action) -> str:
    text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
    text = " ".join(APPENDED.sub("", text).replace("%%", "%").split())
    if len(text) <= LONGEST_HELP:
        return text
    return text[:LONGEST_HELP].rpartition(". ")[0] + "."


def _version() -> str:
    try:
        version = str(importlib.import_module("vllm.version").__version__)
    except (ImportError, AttributeError):
        version = "".join(_run("--version").split()[-1:]) or "unknown"
    return version.partition("+")[0]


def _help() -> str:
    """The long help of `vllm serve`; before there was `=all`, the plain one was the long one."""
    text = _run("serve", "--help=all")
    return text if text.count("\n  --") > 20 else _run("serve", "--help")


def _run(*words: str) -> str:
    command = Path(sys.executable).with_name("vllm")
    try:
        done = subprocess.run(
            [str(command), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HELP_TIMEOUT,
            env={**os.environ, "COLUMNS": "400", "PYTHONPATH": ""},
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as fault:
        print(f"{command} {' '.join(words)}: {fault}", flush=True)
        return ""
    return done.stdout


def write(path: Path, version: str, flags: Sequence[dict[str, Any]]) -> None:
    """One flag a line, without what is empty; whole or not at all."""
    lines = [json.dumps({key: value for key, value in flag.items() if _says(key, value)}) for flag in flags]
    text = f'{{"version": {json.dumps(version)}, "flags": [\n' + ",\n".join(lines) + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def _says(key: str, value: Any) -> bool:
    return value is not None if key == "default" else bool(value)


def _say(tell: Tell | None, text: str) -> None:
    print(text, flush=True)
    if tell:
        tell.say(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
