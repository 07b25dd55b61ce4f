"""What a new supervisor takes up of the one before."""

from __future__ import annotations

import logging
import socket

from django.db import connection

from instances import events
from instances.launchers.base import Launcher
from instances.models import Launch

log = logging.getLogger(__name__)


def take_up(launcher: Launcher) -> list[int]:
    """The launches that run on and are ours again; the others that run are ended. Called once, before the first step.

    A launch directory without a row is left alone: it may belong to a database that was put back from a copy.
    """
    adopted = []
    refs = launcher.running()
    _come_home({ref.launch_id for ref in refs})
    for ref in refs:
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


def _come_home(running: set[int]) -> None:
    """The machine may have got another name since: what runs in our data folder runs here, whatever its row says."""
    strayed = Launch.objects.live().exclude(host=socket.gethostname())
    if (
        connection.vendor != "sqlite"
    ):  # else the database lies in the data folder too, and all of them are ours
        strayed = strayed.filter(pk__in=running)
    if moved := strayed.update(host=socket.gethostname()):
        log.warning("%d launches of this data folder were of another host name", moved)
