from typing import Any

from channels.management.commands.runworker import Command as RunWorker
from django.conf import settings
from django.core.management.base import CommandError

from instances.supervisor.lock import DataLock, LockHeld
from instances.supervisor.mailbox import SupervisorWorker


class Command(RunWorker):
    """Channels' own, with the supervisor beside its mailbox: `manage.py runworker supervisor`."""

    worker_class = SupervisorWorker

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with DataLock(settings.LLMOPS_DATA):
                super().handle(*args, **options)
        except LockHeld as error:
            raise CommandError(str(error)) from None
