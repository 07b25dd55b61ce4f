"""What a new supervisor takes up of the one before."""

from __future__ import annotations

import logging

from instances import events
from instances.launchers.base import Launcher
from instances.models import Launch

log = logging.getLogger(__name__)


def take_up(launcher: Launcher) -> list[int]:
    """The launches that run on and are ours again; the others that run are ended. Called once, before the first step.

    A launch directory without a row is left alone: it may belong to a database that was put back from a copy.
    """
    adopted = []
    for ref in launcher.running():
        launch = Launch.objects.select_related("instance").filter(pk=ref.launch_id).first()
        if launch is None:
            log.warning("launch %s runs, but the database does not know it: %s", ref.launch_id, ref.directory)
        elif launch.ended:
            log.warning("launch %s runs on after its end was recorded: ending it", ref.launch_id)
            launcher.kill(ref)
        else:
            adopted.append(launch.pk)
            events.record(launch.instance, "took up", detail=f"launch {launch.pk}, process {launch.pid}")
    return adopted
