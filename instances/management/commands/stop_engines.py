import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from accounts.services import record_event
from instances import announce
from instances.launchers.local import LocalLauncher
from instances.models import DesiredState, Instance, Launch
from instances.supervisor.lock import DataLock, LockHeld
from instances.supervisor.reconcile import Reconciler


class Command(BaseCommand):
    help = "Stop every engine and wait until all are gone, whether the console runs or not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = Q(desired_state=DesiredState.RUNNING) | Q(launches__in=Launch.objects.live())
        for instance in Instance.objects.visible().filter(wanted).distinct():
            Instance.objects.filter(pk=instance.pk).update(
                desired_state=DesiredState.STOPPED, desired_by=None
            )
            record_event(
                actor=None,
                verb="stopped",
                subject=f"instance:{instance.pk}",
                subject_name=instance.name,
                detail="manage.py stop_engines",
            )
            announce.decided(instance.pk)
        deadline = time.monotonic() + options["timeout"]
        try:
            with DataLock(settings.LLMOPS_DATA):  # no console runs: make the steps here
                reconciler = Reconciler(LocalLauncher(settings.LLMOPS_DATA / "launches"))
                self._wait(deadline, reconciler.step)
        except LockHeld:
            self._wait(deadline, lambda: None)

    def _wait(self, deadline: float, step: Any) -> None:
        while True:
            step()
            live = list(Launch.objects.live().select_related("instance"))
            if not live:
                self.stdout.write("No engine runs.")
                return
            if time.monotonic() > deadline:
                raise CommandError("Still stopping: " + ", ".join(launch.instance.name for launch in live))
            time.sleep(0.2)
