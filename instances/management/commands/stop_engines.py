import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from instances.launchers.local import LocalLauncher
from instances.models import Instance, Launch
from instances.services import stop_instance
from instances.supervisor.lock import DataLock, LockHeld
from instances.supervisor.reconcile import Reconciler


class Command(BaseCommand):
    help = "Stop every engine and wait until all are gone, whether the console runs or not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait")

    def handle(self, *args: Any, **options: Any) -> None:
        for instance in Instance.objects.should_run():  # what else lives is on its way down already
            stop_instance(actor=None, instance=instance, detail="manage.py stop_engines")
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
