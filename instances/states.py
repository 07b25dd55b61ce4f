"""The states of a launch and the moves between them. Imports nothing of ours; checked when imported."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    INITIALIZING = "initializing", _("Initializing")
    STARTING = "starting", _("Starting")
    RUNNING = "running", _("Running")
    UNHEALTHY = "unhealthy", _("Unhealthy")
    LOST = "lost", _("Lost")
    STOPPING = "stopping", _("Stopping")
    STOPPED = "stopped", _("Stopped")
    ERROR = "error", _("Error")


MOVES: dict[State, frozenset[State]] = {
    State.INITIALIZING: frozenset({State.STARTING, State.STOPPING, State.ERROR}),
    State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.ERROR, State.LOST}),
    State.RUNNING: frozenset({State.UNHEALTHY, State.STOPPING, State.ERROR, State.LOST}),
    State.UNHEALTHY: frozenset({State.RUNNING, State.STOPPING, State.ERROR, State.LOST}),
    State.LOST: frozenset({State.STARTING, State.RUNNING, State.UNHEALTHY, State.STOPPING, State.ERROR}),
    State.STOPPING: frozenset({State.STOPPED, State.ERROR, State.LOST}),
    State.STOPPED: frozenset(),  # a restart is a new launch
    State.ERROR: frozenset(),
}

ENDED = frozenset(state for state, moves in MOVES.items() if not moves)
LIVE = frozenset(MOVES) - ENDED
SERVING = frozenset({State.RUNNING, State.UNHEALTHY})  # the engine has answered once


def may_move(before: State | str, after: State | str) -> bool:
    return State(after) in MOVES[State(before)]


def _check() -> None:
    if set(MOVES) != set(State):
        raise AssertionError("every state needs its line in MOVES")
    reached = frozenset().union(*MOVES.values())
    if unreached := set(State) - reached - {State.INITIALIZING}:
        raise AssertionError(f"no move leads to {unreached}")


_check()
