"""Shell lines: what is set before, what stands around it, and the one command that starts vLLM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import docker
from .invocation import Invocation, is_absolute, joined
from .quoting import commands_in
from .variables import resolved
from .words import Command, Word

ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=(.*)", re.DOTALL)
POWERSHELL = re.compile(r"\$env:([A-Za-z_][A-Za-z0-9_]*)$", re.IGNORECASE)
ARRAY = re.compile(r"(?m)^[ ]*(?:declare -a )?([A-Za-z_][A-Za-z0-9_]*)\+?=\(([^()]{0,8000})\)")
MODEL = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # of a hub
MODULE = re.compile(r"vllm\.entrypoints\.(?:openai\.api_server|cli\.main|api_server)")
ENGINE_NAMES = re.compile(
    r"^(?:CUDA_|VLLM_|NCCL_|HF_|HUGGING|TORCH|PYTORCH_|OMP_|NVIDIA_|FLASHINFER|TOKENIZERS_|TRITON_)"
)
STARTERS = frozenset(
    """nohup sudo env exec time nice ionice uv uvx run poetry pdm pipenv conda mamba micromamba numactl taskset timeout
    stdbuf setsid systemd-run srun xvfb-run then do exec command & unbuffer chrt python python3 -u -E -i -""".split()
)
MOST_COMMANDS = 1000
MOST_OTHERS = 6
DEEPEST = 3
OTHER = "Another command. Only the one that starts vLLM was taken."


@dataclass
class Found:
    """A command that starts vLLM."""

    invocation: Invocation
    raw: str
    score: int  # how surely it is one: prose has words like it


@dataclass
class Shell:
    """What earlier lines said that a later one may need."""

    known: dict[str, str] = field(default_factory=dict)
    env: dict[str, Word] = field(default_factory=dict)
    folder: str = ""


def read_shell(text: str, notes: list[str], shell: Shell | None = None, depth: int = 0) -> Invocation | None:
    """The first command of these logical lines that starts vLLM, with all that belongs to it."""
    shell = shell or Shell()
    text = _arrays(text, shell)
    commands, said = commands_in(text)
    found: list[Found] = []
    others: list[str] = []
    for command in _worth_reading(commands):
        spoken: list[str] = []
        words = [word for token in command.tokens for word in resolved(token, shell.known, spoken)]
        if not words or _is_setting(words, shell, found, spoken):
            continue
        invocation = _engine_of(words, shell, depth)
        if invocation is None:
            others.append(command.raw)
            continue
        invocation.notes[:0] = dict.fromkeys(spoken)
        _around(command, invocation)
        found.append(Found(invocation, command.raw, _score(words, invocation)))
    if not found:
        return None
    best = max(found, key=lambda one: one.score)
    taken = next(one for one in found if one.score == best.score)
    notes.extend(said)
    others = [*(one.raw for one in found if not one.score and one is not taken), *others]
    for one in [one for one in found if one.score and one is not taken][:MOST_OTHERS]:
        taken.invocation.leave(
            _short(one.raw), "A second command that starts vLLM. Paste it alone to take it instead."
        )
    for raw in others[:MOST_OTHERS]:
        taken.invocation.leave(raw, OTHER)
    if len(others) > MOST_OTHERS:
        taken.invocation.leave("…", f"{len(others) - MOST_OTHERS} more lines do not belong to the command.")
    return taken.invocation


def _worth_reading(commands: list[Command]) -> list[Command]:
    """All of them, but of a very long text only those beyond its beginning that could start an engine."""
    later = [one for one in commands[MOST_COMMANDS:] if any("vllm" in token.raw for token in one.tokens)]
    return [*commands[:MOST_COMMANDS], *later[:MOST_COMMANDS]]


def _short(raw: str) -> str:
    """A command up to its first long flag."""
    head, flag, _rest = f" {raw}".partition(" --")
    return f"{head.strip()} …" if flag else raw


def engine_words(words: Sequence[Word]) -> int:
    """Where the engine's own arguments begin; 0 where it is not started here."""
    for at, word in enumerate(words):
        base = re.split(r"[/\\]", word.text)[-1]
        if base in ("vllm", "vllm.exe") and [one.text for one in words[at + 1 : at + 2]] == ["serve"]:
            return at + 2
        if word.text.endswith("vllm/entrypoints/openai/api_server.py"):
            return at + 1
        module = word.text[2:] if word.text.startswith("-mvllm") else word.text
        if MODULE.fullmatch(module) and (module != word.text or (at and words[at - 1].text == "-m")):
            after = at + 1
            return after + 1 if [one.text for one in words[after : after + 1]] == ["serve"] else after
    return 0


def _arrays(text: str, shell: Shell) -> str:
    """`ARGS=(--a 1 --b)` as if it were `ARGS="--a 1 --b"`."""

    def keep(found: re.Match[str]) -> str:
        shell.known[found[1]] = found[2].replace("\n", " ").strip()
        return ""

    return ARRAY.sub(keep, text) if "=(" in text else text


def _is_setting(words: list[Word], shell: Shell, found: Sequence[Found], notes: list[str]) -> bool:
    """Whether a command only sets something for those after it; then it was taken."""
    head = words[0].text
    if head in ("export", "declare", "set", "setx", "local") and len(words) > 1:
        for word in words[1:]:
            if given := ASSIGNED.fullmatch(word.text):
                _set(given[1], given[2], word, shell, exported=True)
            elif word.text in shell.known:
                _set(word.text, shell.known[word.text], word, shell, exported=True)
        return True
    if (spoken := POWERSHELL.match(head.partition("=")[0].strip())) and ("=" in head or len(words) > 1):
        value = head.partition("=")[2] or "".join(word.text for word in words[1:]).removeprefix("=")
        unknown = tuple(one for word in words for one in word.unknown if one != "$env")
        _set(spoken[1], value, Word(value, f"{spoken[1]}={value}", unknown), shell, exported=True)
        return True
    if head in ("cd", "pushd") and len(words) > 1:
        folder = words[1].text
        known = not words[1].unknown and (is_absolute(folder) or shell.folder)
        shell.folder = joined(shell.folder, folder) if known else ""
        return True
    if not all(ASSIGNED.fullmatch(word.text) for word in words):
        return False
    for word in words:
        given = ASSIGNED.fullmatch(word.text)
        assert given is not None
        _set(given[1], given[2], word, shell, exported=bool(ENGINE_NAMES.match(given[1])))
    return True


def _set(name: str, value: str, word: Word, shell: Shell, exported: bool) -> None:
    if word.unknown:
        shell.known.pop(name, None)
    else:
        shell.known[name] = value
    if exported:
        shell.env[name] = Word(value, word.raw, word.unknown)


def _engine_of(words: list[Word], shell: Shell, depth: int) -> Invocation | None:
    invocation = Invocation(env=dict(shell.env), folder=shell.folder)
    if begin := docker.is_run(words):
        _prefix(words[: begin - 2], invocation)
        return _in_container(words[begin:], invocation, depth)
    if begin := engine_words(words):
        _prefix(words[: _program(words, begin)], invocation)
        invocation.words = words[begin:]
        return invocation
    if depth < DEEPEST:
        for at, word in enumerate(words):
            if "vllm" in word.text and re.search(r"\s", word.text.strip()):
                inner = read_shell(
                    word.text, invocation.notes, Shell(dict(shell.known), {}, shell.folder), depth + 1
                )
                if inner:
                    _prefix(words[:at], invocation)
                    return _merged(invocation, inner)
    if _is_rest_of_one(words):
        invocation.words = words[1:] if words[0].text == "serve" else words
        return invocation
    return None


def _is_rest_of_one(words: Sequence[Word]) -> bool:
    """Whether only the end of a command was copied: `--model X ...`, `serve X ...`, `Qwen/Qwen3-8B --...`."""
    first, second = words[0].text, words[1].text if len(words) > 1 else ""
    if first == "serve":
        return len(words) > 1
    if first.startswith("--"):
        return len(first) > 3
    is_model = MODEL.fullmatch(first) and not first.endswith((".sh", ".py", ".exe"))
    return bool(is_model) and second.startswith("--")


def _in_container(words: list[Word], invocation: Invocation, depth: int) -> Invocation | None:
    image, rest = docker.read_run(words, invocation)
    if begin := engine_words(rest):
        invocation.words = rest[begin:]
        return invocation
    for word in rest:
        if depth < DEEPEST and "vllm" in word.text and re.search(r"\s", word.text):
            inner = read_shell(word.text, invocation.notes, depth=depth + 1)
            if inner:
                return _merged(invocation, inner)
    if not is_for_engine(image, rest):
        return None
    invocation.words = rest[1:] if rest and rest[0].text == "serve" else rest
    return invocation


def is_for_engine(image: str, words: Sequence[Word]) -> bool:
    """Whether words without a program are the engine's: those of its image, or with flags of its own."""
    return "vllm" in image or any(
        word.text.partition("=")[0] in ("--model", "--served-model-name", "--max-model-len") for word in words
    )


def _merged(outer: Invocation, inner: Invocation) -> Invocation:
    """The command inside another one's quotes."""
    outer.words = inner.words
    outer.env |= inner.env
    outer.env_from |= inner.env_from
    outer.folder = inner.folder or outer.folder
    outer.left_out += inner.left_out
    outer.notes += inner.notes
    return outer


def _program(words: Sequence[Word], begin: int) -> int:
    """Where the engine's program stands: what comes before it is a wrapper."""
    at = begin - 1
    while at > 0 and (words[at].text in ("serve", "-m", "-u") or MODULE.search(words[at].text)):
        at -= 1
    if at > 0 and words[at].text == "-m":
        at -= 1
    while at > 0 and words[at].text in ("-u", "-O", "-OO", "-B", "-s"):
        at -= 1
    return max(at, 0)


def _prefix(words: Sequence[Word], invocation: Invocation) -> None:
    """Assignments in front are the engine's environment; the rest is a wrapper, which is named."""
    wrapper: list[str] = []
    words = list(words)
    leading = True
    for at, word in enumerate(words):
        given = ASSIGNED.fullmatch(word.text)
        option = words[at - 1].text if at else ""
        passed = option in ("-e", "--env", "-E", "-x")
        if given and (leading or passed or ENGINE_NAMES.match(given[1])):
            invocation.env[given[1]] = Word(given[2], word.raw, word.unknown)
            if passed and wrapper:
                wrapper.pop()
                invocation.env_from[given[1]] = f"{option} of {words[0].text}"
            continue
        leading = leading and word.text in ("env", "sudo", "nohup", "exec", "time", "export")
        wrapper.append(word.shown)
    if wrapper:
        alone = all(one.rpartition("/")[2] in STARTERS for one in wrapper)
        why = (
            "The console starts the engine itself."
            if alone
            else "A wrapper before the command: it is not run here."
        )
        invocation.leave(" ".join(wrapper), why)


def _around(command: Command, invocation: Invocation) -> None:
    if command.redirections:
        invocation.leave(" ".join(command.redirections), "The console keeps the engine's output itself.")
    if command.end == "&":
        invocation.leave("&", "The console runs the engine in the background.")
    elif command.end == "|":
        invocation.leave("|", "The engine's output goes to its log; what follows the pipe is not run.")


def _score(words: Sequence[Word], invocation: Invocation) -> int:
    """2 for a command, 1 for what could be one, 0 for a sentence with such words."""
    arguments = invocation.words
    flags = any(word.text.startswith("-") for word in arguments)
    if invocation.container:
        return 2
    if not arguments:
        return 0
    named = "/" in arguments[0].text or arguments[0].text.startswith("-")
    return 2 if named and (flags or len(arguments) == 1) else 1 if flags else 0
