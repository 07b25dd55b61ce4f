"""systemd units and Dockerfiles."""

from __future__ import annotations

import ast
import json
import re

from . import docker
from .invocation import Invocation
from .lines import IsFlag, joined_lines
from .quoting import commands_in
from .shell import Shell, engine_words, is_for_engine, read_shell
from .variables import resolved
from .words import Word

UNIT = re.compile(r"^\s{0,20}ExecStart\s{0,4}=", re.MULTILINE)
DOCKERFILE = re.compile(r"^\s{0,20}(?:CMD|ENTRYPOINT)\s+\S", re.MULTILINE)
SETTING = re.compile(r"\s*([A-Za-z]\w{1,60})\s{0,4}=\s{0,4}(.*)", re.DOTALL)
NOT_IMPORTED = "Belongs to the service: the console runs the engine under its own account and limits."
LINES = ("[", "#", ";")


def read_unit(text: str, is_flag: IsFlag, notes: list[str]) -> Invocation | None:
    """The ExecStart of a unit, with the environment and the folder that the unit gives it."""
    settings: list[tuple[str, str]] = []
    section = ""
    for line in joined_lines(text, is_flag, notes):
        bare = line.strip()
        if bare.startswith("["):
            section = bare
        elif bare and not bare.startswith(LINES) and (found := SETTING.fullmatch(bare)):
            if section in ("", "[Service]"):
                settings.append((found[1], found[2].strip()))
        elif bare and not bare.startswith(LINES) and settings and not _is_empty_unit(bare):
            settings.append(("", bare))
    shell = Shell()
    command = ""
    left: list[tuple[str, str]] = []
    restart = ""
    for name, value in settings:
        if name == "Environment":
            for word in _plain_words(value):
                given, sign, setting = word.text.partition("=")
                if sign:
                    shell.known[given] = setting
                    shell.env[given] = Word(setting, word.raw, word.unknown)
        elif name == "WorkingDirectory":
            shell.folder = value.lstrip("-")
        elif name == "ExecStart" and value and not command:
            command = value.lstrip("-@:+!")
        elif name == "Restart":
            restart = value
        elif name == "EnvironmentFile":
            left.append(
                (
                    f"{name}={value}",
                    "A file with variables, which is not read here. Enter what you need of it.",
                )
            )
        elif name.startswith("Exec"):
            left.append((f"{name}={value}", "Another command. Only the one that starts vLLM was taken."))
        elif name:
            left.append((f"{name}={value}", NOT_IMPORTED))
    invocation = read_shell(command, notes, shell) if command else None
    if invocation is None:
        return None
    invocation.restart = restart or invocation.restart
    for shown, why in left[:30]:
        invocation.leave(shown, why)
    return invocation


def _is_empty_unit(line: str) -> bool:
    return line in ("\\", "EOF")


def _plain_words(text: str) -> list[Word]:
    notes: list[str] = []
    tokens = [token for command in commands_in(text, operators=False)[0] for token in command.tokens]
    return [word for token in tokens for word in resolved(token, {}, notes)]


def read_dockerfile(text: str, is_flag: IsFlag, notes: list[str]) -> Invocation | None:
    """The last ENTRYPOINT and CMD of a Dockerfile, with its ENV."""
    invocation = Invocation(container="Dockerfile", base="the image")
    entrypoint: list[Word] = []
    command: list[Word] = []
    shell_form = ""
    image = ""
    others: list[str] = []
    for line in joined_lines(text, is_flag, notes):
        name, _blank, value = line.strip().partition(" ")
        value = value.strip()
        if name in ("CMD", "ENTRYPOINT"):
            words = list_of_words(value)
            if words is None:
                shell_form = value if "vllm" in value else shell_form
                words = _plain_words(value)
            if name == "CMD":
                command = words
            else:
                entrypoint = words
        elif name == "FROM":
            image = value
        elif name == "WORKDIR":
            invocation.folder = value
        elif name == "ENV":
            _env(value, invocation)
        elif name and not name.startswith("#"):
            others.append(line.strip())
    words = [*entrypoint, *command]
    if begin := engine_words(words):
        invocation.words = words[begin:]
    elif inner := _inside(words, shell_form, notes):
        invocation.words = inner.words
        invocation.env |= inner.env
        invocation.left_out += inner.left_out
    elif words and is_for_engine(image, words):
        invocation.words = words
    else:
        return None
    for other in others[:6]:
        invocation.leave(other, "Builds the image. Only the command was taken.")
    return invocation


def _inside(words: list[Word], shell_form: str, notes: list[str]) -> Invocation | None:
    for text in (
        *(word.text for word in words if "vllm" in word.text and " " in word.text.strip()),
        shell_form,
    ):
        if text and (inner := read_shell(text, notes)):
            return inner
    return None


def _env(value: str, invocation: Invocation) -> None:
    """`ENV A=b C=d`, or the old `ENV A b`."""
    words = _plain_words(value)
    if words and "=" not in words[0].text and len(words) > 1:
        invocation.env[words[0].text] = Word(" ".join(word.text for word in words[1:]), value)
        return
    for word in words:
        docker.variable(word.text, word, word.shown, invocation)


def list_of_words(text: str) -> list[Word] | None:
    """`["vllm", "serve", ...]`, in JSON or in Python's quotes, also with a name or a comma around it."""
    bare = re.sub(r"^[\w. -]{0,60}[=:]\s*(?=\[)", "", text.strip()).rstrip(",; \n")
    if bare[:1] != "[" or bare[-1:] != "]" or len(bare) > 40_000:
        return None
    try:
        found = json.loads(bare)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(bare)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(found, list) or not all(isinstance(one, str | int | float) for one in found):
        return None
    return [Word(str(one)) for one in found]


def read_list(text: str, notes: list[str]) -> Invocation | None:
    """A list of words alone, as programs and Dockerfiles write them."""
    words = list_of_words(text)
    if words is None:
        words = list_of_words(f"[{text.strip().rstrip(',')}]") if re.match(r"\s*[\"']", text) else None
    if not words:
        return None
    begin = engine_words(words)
    if begin:
        return Invocation(words=words[begin:])
    if inner := _inside(words, "", notes):
        return inner
    return Invocation(words=words) if is_for_engine("", words) else None
