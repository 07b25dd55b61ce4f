"""Why a launch cannot be started at all."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Obstacle(Exception):
    """In words, with what to change."""

    cause: str
    advice: str
