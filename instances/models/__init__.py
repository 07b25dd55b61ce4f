"""Facts and predicates: what people decided, and what was observed."""

from .instance import (
    NAME_MESSAGE,
    NAME_PATTERN,
    DesiredState,
    Instance,
    InstanceQuerySet,
    RestartPolicy,
    Revision,
)
from .job import MANAGE_ENGINES, Job, JobKind, JobQuerySet, JobState
from .launch import Launch, LaunchQuerySet
from .preset import TINY_DEMO, Preset
from .token import HubToken

__all__ = [
    "MANAGE_ENGINES",
    "NAME_MESSAGE",
    "NAME_PATTERN",
    "TINY_DEMO",
    "DesiredState",
    "HubToken",
    "Instance",
    "InstanceQuerySet",
    "Job",
    "JobKind",
    "JobQuerySet",
    "JobState",
    "Launch",
    "LaunchQuerySet",
    "Preset",
    "RestartPolicy",
    "Revision",
]
