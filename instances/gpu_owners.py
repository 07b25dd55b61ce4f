"""Whose a process on a GPU is, and which instances claim the GPU."""

from __future__ import annotations

from typing import Any

import psutil

from monitoring.gpu import GpuReadings
from monitoring.processes import described

from .models import Instance, Launch


def as_json(readings: GpuReadings) -> dict[str, Any]:
    """The readings, each process, also of a slice, with `instance` (its name, null for one that none owns), `owner`
    (the account that it runs as, null where that cannot be seen) and `described`; each GPU with `claimed_by`, names
    of instances. One query."""
    found = readings.as_json()
    launches = list(Launch.objects.live().here().select_related("instance")) if found["gpus"] else []
    mains = {launch.pid: launch.instance for launch in launches if launch.pid}
    for gpu in found["gpus"]:
        gpu["claimed_by"] = [one.instance.name for one in launches if gpu["index"] in one.gpus]
        everybody = (*gpu["processes"], *(one for part in gpu["slices"] for one in part["processes"]))
        for process in everybody:
            instance = _instance(process["pid"], mains)
            process["instance"] = instance and instance.name
            process["owner"] = _owner(process["pid"])
            process["described"] = described(process["pid"])
    return found


def _owner(pid: int) -> str | None:
    try:
        return psutil.Process(pid).username()
    except psutil.Error:  # it has ended, or is one of another container
        return None


def _instance(pid: int, mains: dict[int, Instance]) -> Instance | None:
    """By parentage: engines rename themselves, and wipe their environment with it."""
    try:
        line = [pid, *(parent.pid for parent in psutil.Process(pid).parents())]
    except psutil.Error:  # it has ended, or is one of another container
        return None
    return next((mains[one] for one in line if one in mains), None)
