"""`manage.py serve` that is killed after it has spawned an engine and before that is written down (row 2)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops.settings")


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from instances.models import Launch, LaunchQuerySet
    from instances.states import State

    def cut(self: LaunchQuerySet, launch: Launch, state: State, **facts: Any) -> bool:
        if state == State.STARTING:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved(self, launch, state, **facts)

    moved = LaunchQuerySet.move
    LaunchQuerySet.move = cut  # type: ignore[method-assign]
    call_command("serve")


main()
