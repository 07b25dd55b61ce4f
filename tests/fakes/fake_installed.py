"""An installed engine that is a fake: its folder below LLMOPS_ENGINES, as the installer leaves one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FAKE = Path(__file__).parent / "vllm"


def install(home: Path, version: str, slug: str = "", *, works: bool = True) -> Path:
    """Its folder. It says this version, whatever the environment of its launches; one without `works` was cut off."""
    folder = home / (slug or f"cpu-{version}")
    (folder / "bin").mkdir(parents=True)
    command = folder / "bin/vllm"
    command.write_text(f'#!/bin/sh\nFAKE_VLLM_VERSION={version} exec {sys.executable} {FAKE} "$@"\n')
    command.chmod(0o755)
    (folder / "bin/python3").symlink_to(sys.executable)
    facts = {"path": str(command), "version": f"{version}+cpu", "accelerator": "cpu"}
    if works:
        (folder / "engine.json").write_text(json.dumps(facts))
    return folder
