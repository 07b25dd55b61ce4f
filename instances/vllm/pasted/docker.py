"""`docker run` and `podman run`: what stands before the image is theirs, what comes after it is the engine's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .invocation import Invocation
from .words import Word

# Options that stand alone; every other one is followed by its value.
ALONE = frozenset(
    """-d --detach -i --interactive -t --tty -it -ti -dit -itd -idt -dt -td -di -id --rm --init --privileged
    -P --publish-all --read-only --no-healthcheck --oom-kill-disable --sig-proxy --disable-content-trust --help
    -q --quiet --replace --no-hosts --rmi --systemd --tls-verify --env-host --http-proxy --use-api-socket""".split()
)
ENV, ENV_FILE = ("-e", "--env"), ("--env-file",)
VOLUME, MOUNT = ("-v", "--volume"), ("--mount",)
PORT, GPUS = ("-p", "--publish"), ("--gpus",)
FOLDER, RESTART, ENTRYPOINT, DEVICE = ("-w", "--workdir"), ("--restart",), ("--entrypoint",), ("--device",)
VALUED_SHORT = "evpwumhcal"  # letters whose value may follow at once: -eNAME=x
RUNNERS = ("docker", "podman", "nerdctl", "docker.exe")


def is_run(words: Sequence[Word]) -> int:
    """Where the options of a `docker run` begin in these words; 0 where there is none."""
    for at, word in enumerate(words[:40]):
        if word.text.rpartition("/")[2] in RUNNERS:
            for ahead in range(at + 1, min(at + 4, len(words))):
                if words[ahead].text in ("run", "create"):
                    return ahead + 1
    return 0


def read_run(words: Sequence[Word], invocation: Invocation) -> tuple[str, list[Word]]:
    """Take what the options say; returns the image, and the words after it with the entrypoint before them."""
    invocation.container = "docker"
    invocation.base = "the folder in which docker was called"
    own: list[str] = []
    entrypoint: list[Word] = []
    at = 0
    while at < len(words):
        word = words[at]
        name, sign, given = word.text.partition("=")
        if not word.text.startswith("-") or word.text == "-":
            break
        at += 1
        if word.text == "--":
            break
        value: Word | None = None
        if not word.text.startswith("--") and len(word.text) > 2 and word.text[1] in VALUED_SHORT:
            name, value = word.text[:2], Word(word.text[2:].removeprefix("="), word.raw, word.unknown)
        elif sign:
            value = Word(given, word.raw, word.unknown)
        elif name not in ALONE and at < len(words):
            value = words[at]
            at += 1
        shown = word.shown if value is None or value.raw == word.raw else f"{word.shown} {value.shown}"
        if value is None:
            own.append(shown)
        elif name in ENTRYPOINT:
            entrypoint = [value]
        elif not _take(name, value, shown, invocation):
            own.append(shown)
    if own:
        invocation.leave(" ".join(own), "Options of docker itself: here the engine runs without a container.")
    image = words[at].text if at < len(words) else ""
    return image, [*entrypoint, *words[at + 1 :]]


def _take(name: str, value: Word, shown: str, invocation: Invocation) -> bool:
    text = value.text
    if name in ENV:
        variable(text, value, shown, invocation)
    elif name in ENV_FILE:
        invocation.leave(
            shown, "Names a file with variables, which is not read here. Enter what you need of it."
        )
    elif name in VOLUME:
        volume(text, shown, invocation, value.unknown)
    elif name in MOUNT:
        parts = dict(part.partition("=")[::2] for part in text.split(","))
        source = parts.get("source", parts.get("src", ""))
        target = parts.get("target", parts.get("dst", parts.get("destination", "")))
        volume(f"{source}:{target}", shown, invocation, value.unknown)
    elif name in PORT:
        publish(text, invocation)
    elif name in GPUS:
        choose_gpus(text, shown, invocation)
    elif name in FOLDER:
        invocation.folder = text
    elif name in RESTART:
        invocation.restart = text
    elif name in DEVICE and text.startswith("nvidia.com/gpu="):
        choose_gpus("device=" + text.partition("=")[2], shown, invocation)
    else:
        return False
    return True


def variable(text: str, value: Word, shown: str, invocation: Invocation) -> None:
    """`NAME=value`, or a bare NAME whose value comes from the shell that starts it."""
    name, sign, given = text.partition("=")
    if not sign:
        invocation.leave(shown, f"The value of {name} comes from your shell, and is not in the text.")
        return
    invocation.env[name.strip()] = Word(given.strip(), shown, value.unknown)


def volume(text: str, shown: str, invocation: Invocation, unknown: Sequence[str] = ()) -> None:
    """`host:container[:options]`; the host's side of a Windows path has a colon of its own."""
    parts = text.split(":")
    if len(parts) > 2 and re.fullmatch(r"[A-Za-z]", parts[0]) and parts[1][:1] in ("\\", "/"):
        parts = [f"{parts[0]}:{parts[1]}", *parts[2:]]
    if len(parts) > 1 and parts[1].startswith("/"):
        invocation.mounts.append((parts[0], parts[1]))
    invocation.leave(shown, _why_mount(parts, unknown))


def _why_mount(parts: Sequence[str], unknown: Sequence[str]) -> str:
    if any("huggingface" in part or part.endswith("/.cache") for part in parts[1:2]):
        return "A mount of the model cache: the engine uses the cache of this host."
    if unknown:
        return f"A mount: {', '.join(unknown)} is not in the text. Here the engine reads the host's folders."
    return "A mount: here the engine reads the host's own folders."


def publish(text: str, invocation: Invocation) -> None:
    """`[address:]host:container[/tcp]`: the port that people use."""
    ports = text.partition("/")[0].split(":")
    if len(ports) > 1 and ports[-2].isdecimal() and not invocation.published:
        invocation.published = ports[-2]


def choose_gpus(text: str, shown: str, invocation: Invocation) -> None:
    """`all`, a number of GPUs, or `device=0,1` in one of several quotings."""
    bare = text.strip("\"'\\ ")
    listed = re.search(r"device=([\w.,:-]+)", bare)
    if listed and (names := [name for name in listed[1].split(",") if name and "=" not in name]) != ["all"]:
        invocation.gpus = names
    elif bare.removeprefix("count=").isdecimal():
        invocation.gpu_count = int(bare.removeprefix("count=")[:4])
        invocation.leave(shown, "It asks for a number of GPUs. Choose which ones in the field gpus.")
    elif "all" not in bare:
        invocation.leave(shown, "This choice of GPUs was not understood. Choose them in the field gpus.")
