"""Compose files, Kubernetes manifests and vLLM's own YAML: all read as plain text values, with limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import docker
from .invocation import Invocation
from .quoting import commands_in
from .shell import engine_words, is_for_engine, read_shell
from .variables import interpolated, resolved
from .words import Token, Word
from .yaml_text import TooMuch, loaded, services

LOOKS = re.compile(
    r"^\s{0,40}(?:- )?[\"']?(?:services|command|args|entrypoint|containers|image)[\"']?\s{0,4}:", re.MULTILINE
)
LIST = re.compile(r"\s*(?:-\s+\S[^\n]*\n?\s*){2,}$")
OWN = tuple(
    """shm_size ipc network_mode networks container_name healthcheck depends_on ulimits privileged runtime hostname
    logging labels user cap_add security_opt stdin_open tty expose""".split()
)


def looks_like_yaml(text: str) -> bool:
    return LOOKS.search(text) is not None or LIST.fullmatch(text[:20_000]) is not None


def read_yaml(text: str, notes: list[str]) -> Invocation | None:
    """The first service or container that starts vLLM."""
    try:
        tree = loaded(text)
    except TooMuch:
        return _by_lines(text, notes)
    found: list[tuple[str, Invocation]] = []
    for name, service in services(tree):
        invocation = _service(service, notes)
        if invocation is not None:
            found.append((name, invocation))
    if found:
        name, taken = found[0]
        for other, _ in found[1:6]:
            taken.leave(other, "A second service that runs vLLM. Paste it alone to take it instead.")
        return taken
    return _engine_config(tree) or _by_lines(text, notes)


def _service(service: Mapping[str, Any], notes: list[str]) -> Invocation | None:
    invocation = Invocation(container="compose", base="the folder of the compose file")
    spoken: list[str] = []
    env = dict(_environment(service, spoken, invocation))
    known = {name: word.text for name, word in env.items() if not word.unknown}
    words = [
        *_words(service.get("entrypoint"), known, spoken),
        *_words(service.get("command"), known, spoken),
    ]
    words += _words(service.get("args"), known, spoken) if isinstance(service.get("args"), list | str) else []
    image = str(service.get("image", ""))
    inner: Invocation | None = None
    if begin := engine_words(words):
        words = words[begin:]
    elif embedded := next(
        (word for word in words if "vllm" in word.text and re.search(r"\s", word.text)), None
    ):
        inner = read_shell(embedded.text, spoken)
        if inner is None:
            return None
        words = inner.words
    elif not words or not is_for_engine(image, words):
        return None
    invocation.words = words[1:] if words and words[0].text == "serve" else words
    invocation.env = env | (inner.env if inner else {})
    if inner:
        invocation.left_out += inner.left_out
        invocation.notes += inner.notes
    _surroundings(service, invocation, spoken)
    invocation.notes += dict.fromkeys(spoken)
    if not image and "volumes" not in service:
        invocation.container = ""
    return invocation


def _words(value: Any, known: Mapping[str, str], notes: list[str]) -> list[Word]:
    """A command as one text or as a list."""
    if isinstance(value, str):
        tokens = [
            token for command in commands_in(_one_line(value), operators=False)[0] for token in command.tokens
        ]
        return [word for token in tokens for word in _compose_words(token, known, notes)]
    if isinstance(value, list):
        return [interpolated(str(one), known, notes) for one in value if not isinstance(one, Mapping | list)]
    return []


def _compose_words(token: Token, known: Mapping[str, str], notes: list[str]) -> list[Word]:
    """Compose puts variables in before it reads quotes, also between single ones."""
    words = resolved(token, known, notes)
    return [
        interpolated(word.text, known, notes) if "$" in word.text and not word.unknown else word
        for word in words
    ]


def _one_line(text: str) -> str:
    return re.sub(r"[ \t]*\\+[ \t]*\n", " ", text).rstrip().removesuffix("\\")


def _environment(
    service: Mapping[str, Any], notes: list[str], invocation: Invocation
) -> Iterator[tuple[str, Word]]:
    given = service.get("environment", service.get("env"))
    pairs: list[tuple[str, str | None, str]] = []
    if isinstance(given, Mapping):
        pairs = [(str(name), str(value), f"{name}: {value}") for name, value in given.items()]
    elif isinstance(given, list):
        for one in given:
            if isinstance(one, Mapping):
                name, value = str(one.get("name", "")), one.get("value")
                pairs.append((name, str(value) if isinstance(value, str) else None, name))
            else:
                name, sign, value = str(one).partition("=")
                pairs.append((name, value if sign else None, str(one)))
    for name, value, shown in pairs:
        if value is None:
            invocation.leave(shown, f"The value of {name} comes from elsewhere, and is not in the text.")
        elif name:
            word = interpolated(value, {}, notes)
            yield name.strip(), Word(word.text, shown, word.unknown)


def _surroundings(service: Mapping[str, Any], invocation: Invocation, notes: list[str]) -> None:
    for one in _list(service.get("volumes")):
        text = f"{one.get('source', '')}:{one.get('target', '')}" if isinstance(one, Mapping) else str(one)
        word = interpolated(text, {}, notes)
        docker.volume(word.text, text, invocation, word.unknown)
    for one in _list(service.get("ports")):
        if isinstance(one, Mapping) and "published" in one:
            one = f"{one['published']}:{one.get('target', '')}"
        if isinstance(one, str):
            docker.publish(interpolated(one, {}, notes).text, invocation)
    if "env_file" in service:
        invocation.leave(
            f"env_file: {_short(service['env_file'])}", "A file with variables, which is not read here."
        )
    for name in ("working_dir", "workingDir"):
        if isinstance(folder := service.get(name), str):
            invocation.folder = folder
    if isinstance(restart := service.get("restart"), str):
        invocation.restart = restart
    _devices(service, invocation)
    own = [f"{name}: {_short(service[name])}" for name in OWN if name in service]
    if own:
        invocation.leave(", ".join(own), "Belongs to the container: here the engine runs without one.")


def _devices(service: Mapping[str, Any], invocation: Invocation) -> None:
    """`deploy.resources.reservations.devices` of compose, and a pod's limit of GPUs."""
    deploy = service.get("deploy")
    for node in (deploy, service):
        resources = node.get("resources") if isinstance(node, Mapping) else None
        if not isinstance(resources, Mapping):
            continue
        reserved = resources.get("reservations")
        for device in _list(reserved.get("devices") if isinstance(reserved, Mapping) else None):
            if isinstance(device, Mapping):
                ids = device.get("device_ids")
                if isinstance(ids, list) and ids:
                    docker.choose_gpus(
                        "device=" + ",".join(map(str, ids)), f"device_ids: {_short(ids)}", invocation
                    )
                elif "count" in device:
                    docker.choose_gpus(str(device["count"]), f"count: {device['count']}", invocation)
        limits = resources.get("limits")
        if isinstance(limits, Mapping) and "nvidia.com/gpu" in limits:
            docker.choose_gpus(
                str(limits["nvidia.com/gpu"]), f"nvidia.com/gpu: {limits['nvidia.com/gpu']}", invocation
            )
    if isinstance(gpus := service.get("gpus"), str):
        docker.choose_gpus(gpus, f"gpus: {gpus}", invocation)


def _engine_config(tree: Any) -> Invocation | None:
    """The file of vLLM's own `--config`: its flags as keys."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get("model", tree.get("model_tag")), str):
        return None
    invocation = Invocation()
    for name, value in tree.items():
        flag = "--" + str(name).replace("_", "-").removesuffix("-tag")
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, Mapping | list) for one in values):
            invocation.leave(str(name), "A nested value of a YAML file. Write it as JSON on a command line.")
            continue
        invocation.words += [Word(flag), *(Word(str(one)) for one in values if str(one).lower() != "true")]
    return invocation


def _by_lines(text: str, notes: list[str]) -> Invocation | None:
    """The command of a YAML that is broken: what stands under `command:`, deeper than it or as items."""
    lines = text.split("\n")
    for at, line in enumerate(lines[:2000]):
        found = re.match(r"(\s{0,60})(?:- )?[\"']?(?:command|args|entrypoint)[\"']?\s{0,4}:(.*)$", line)
        if not found:
            continue
        block = [re.sub(r"^\s*[>|][-+]?\s*$", "", found[2])]
        for inner in lines[at + 1 : at + 400]:
            indent = len(inner) - len(inner.lstrip())
            if inner.strip() and indent <= len(found[1]) and not inner.lstrip().startswith("- "):
                break
            block.append(re.sub(r"^\s*- ", "", inner))
        joined = _one_line(" ".join(part.strip().strip("\\").strip() for part in block)).strip()
        tokens = [token for command in commands_in(joined, operators=False)[0] for token in command.tokens]
        spoken: list[str] = []
        words = [word for token in tokens for word in resolved(token, {}, spoken)]
        begin = engine_words(words)
        if begin or is_for_engine("", words):
            notes.append("The YAML around the command could not be read; only its command was taken.")
            return Invocation(
                words=words[begin:], container="compose", base="the folder of the compose file", notes=spoken
            )
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _short(value: Any) -> str:
    text = (
        value
        if isinstance(value, str)
        else "…"
        if isinstance(value, Mapping)
        else ", ".join(map(str, _list(value)))
    )
    return text if len(text) <= 60 else text[:59] + "…"
