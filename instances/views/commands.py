"""The engine's command line as a page shows it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from instances.vllm import engines
from instances.vllm.command import RefusedSetting, serve_argv, shell_line


def command_of(config: Mapping[str, Any], served_name: str, name: str) -> str:
    """What a start runs, one flag a line, ready for a shell; empty where it would be refused.

    An automatic port is shown as the first that would be tried.
    """
    found = engines.choose(config.get("engine"))
    engine = None if isinstance(found, engines.Missing) else found
    try:
        argv = serve_argv(
            "vllm",
            config,
            served_names=tuple(dict.fromkeys((served_name, name))),
            port=config.get("port") or settings.LAUNCH_PORTS.start,
            accelerator=engine.accelerator if engine else "cpu",
            version=engine.version if engine else "",
        )
    except RefusedSetting:
        return ""
    first = next((at for at, token in enumerate(argv) if token.startswith("--")), len(argv))
    lines = [shell_line(argv[:first], config.get("env") or {})]
    for token in argv[first:]:
        if token.startswith("--"):
            lines.append(shlex.quote(token))
        else:
            lines[-1] += f" {shlex.quote(token)}"
    return " \\\n  ".join(lines)
