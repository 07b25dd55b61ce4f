"""YAML as plain text values, within limits, and the services and containers that stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

LONGEST = 64 * 1024  # characters; a compose file has 4,000
DEEPEST = 40
MOST_ALIASES = 50
MOST_NODES = 20_000


class TooMuch(ValueError):
    """The text is no plain YAML, or more of it than one would write by hand."""


def loaded(text: str) -> Any:
    """The YAML with every scalar as text. Raises TooMuch."""
    if len(text) > LONGEST or _depth(text) > DEEPEST or re.search(r"(?:[-?:] ){20}", text):
        raise TooMuch
    if len(re.findall(r"(?<![\w*\"'])\*\w", text)) > MOST_ALIASES:
        raise TooMuch
    loader = getattr(
        yaml, "CBaseLoader", yaml.BaseLoader
    )  # a safe loader that makes no objects at all, only text
    try:
        return next(iter(yaml.load_all(text, Loader=loader)), None)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise TooMuch from error


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in re.findall(r"[\[\]{}]", text):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def services(tree: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a command of its own, under the name by which it stands."""
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    seen: set[int] = set()
    while waiting and len(seen) < MOST_NODES:
        name, node, depth = waiting.pop(0)
        if id(node) in seen or depth > DEEPEST:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            if any(key in node for key in ("command", "args", "entrypoint", "image")):
                yield name, {**node, **_volumes_of(tree, node)}
            waiting += [
                (str(key), value, depth + 1)
                for key, value in node.items()
                if isinstance(value, Mapping | list)
            ]
        elif isinstance(node, list):
            if node and all(isinstance(one, str) for one in node) and depth == 0:
                yield name, {"command": node}
            waiting += [(name, value, depth + 1) for value in node if isinstance(value, Mapping | list)]


def _volumes_of(tree: Any, container: Mapping[str, Any]) -> dict[str, Any]:
    """A pod's folders of the host, as compose would write them."""
    mounts = container.get("volumeMounts")
    spec = tree.get("spec") if isinstance(tree, Mapping) else None
    for _ in range(3):
        if isinstance(spec, Mapping) and "volumes" not in spec:
            inner = spec.get("template", spec.get("spec"))
            spec = inner.get("spec", inner) if isinstance(inner, Mapping) else None
    volumes = spec.get("volumes") if isinstance(spec, Mapping) else None
    if not isinstance(mounts, list) or not isinstance(volumes, list):
        return {}
    hosts = {
        str(one.get("name")): one["hostPath"].get("path")
        for one in volumes
        if isinstance(one, Mapping) and isinstance(one.get("hostPath"), Mapping)
    }
    pairs = [
        (hosts.get(str(one.get("name"))), one.get("mountPath")) for one in mounts if isinstance(one, Mapping)
    ]
    return {"volumes": [f"{host}:{inside}" for host, inside in pairs if host and inside]}
