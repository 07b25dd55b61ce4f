"""The whole console in one process: Daphne and the supervisor's worker on one event loop."""

# isort: off
import daphne.server as daphne_server  # must be first: it installs Twisted's reactor on an asyncio loop

# isort: on
import asyncio
import hashlib
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from channels.layers import get_channel_layer
from channels.routing import get_default_application
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from twisted.internet import reactor

from accounts import setup_token
from chat.upstream import close_session
from instances.supervisor.lock import DataLock, LockHeld
from instances.supervisor.mailbox import SupervisorWorker
from llmops.memory import keep_small


class Command(BaseCommand):
    help = "Run the console. Ctrl-C ends it; engines go on, and the next start takes them up again."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--bind", default=settings.LLMOPS_BIND, help="address:port (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, _, port = options["bind"].rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        if not port.isdigit():
            raise CommandError(f"LLMOPS_BIND must look like 127.0.0.1:7860, not {options['bind']!r}.")
        keep_small()
        self._refuse_taken_port(host, int(port))
        try:
            with DataLock(settings.LLMOPS_DATA):
                self._prepare()
                self._greet(host, int(port))
                self._serve(host, int(port))
        except LockHeld as error:
            raise CommandError(str(error)) from None

    def _refuse_taken_port(self, host: str, port: int) -> None:
        """Daphne itself would end with exit code 0."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CommandError(
                    f"Cannot listen on {host}:{port} ({error.strerror}). "
                    "End what listens there, or choose another address: LLMOPS_BIND=127.0.0.1:7861 ./start.sh"
                ) from None

    def _prepare(self) -> None:
        """Database and static files, each only when something changed."""
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
        stamp = Path(settings.STATIC_ROOT) / ".sources"
        wanted = _static_fingerprint()
        if not stamp.exists() or stamp.read_text() != wanted:
            call_command("collectstatic", interactive=False, clear=True, verbosity=0)
            stamp.write_text(wanted)

    def _greet(self, host: str, port: int) -> None:
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        base = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        if setup_token.needed():
            token = setup_token.current()
            self.stdout.write(f"\nLLM Ops Center is ready. Make the first account here (token {token}):")
            self.stdout.write(f"  {base}/setup/?token={token}\n")
        else:
            self.stdout.write(f"\nLLM Ops Center is ready:\n  {base}/\n")
        self.stdout.write("Ctrl-C ends the console; engines go on.\n")
        self.stdout.flush()

    def _serve(self, host: str, port: int) -> None:
        worker = SupervisorWorker(get_default_application(), channel_layer=get_channel_layer())
        failure: list[BaseException] = []
        kept: list[asyncio.Task[None]] = []  # or the garbage collector may take them
        loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop

        def supervision_ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                failure.append(error)
                server.stop()

        def start_worker() -> None:
            # `handle` alone would be deaf after the first exception of a consumer, and say nothing.
            for part in (worker.handle(), worker.application_checker()):  # type: ignore[no-untyped-call]
                task = loop.create_task(part)
                task.add_done_callback(supervision_ended)
                kept.append(task)

        escaped = host.replace(":", r"\:")
        server = daphne_server.Server(
            application=get_default_application(),
            endpoints=[f"tcp:port={port}:interface={escaped}"],
            ready_callable=start_worker,
            server_name="llmops",
            application_close_timeout=5,
            verbosity=0,
        )
        server.run()
        # With a stream open, ending here would be a segmentation fault: first every task must have ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        leftover = asyncio.all_tasks(loop)
        for task in leftover:
            task.cancel()
        if leftover:
            loop.run_until_complete(asyncio.wait(leftover, timeout=5))
        loop.run_until_complete(close_session())
        if failure:
            sys.stderr.write(f"The supervisor failed, so the console has ended: {failure[0]!r}\n")
            sys.exit(1)


def _static_fingerprint() -> str:
    """Changes when a static file does. Sizes and times are enough, and cost a few milliseconds."""
    digest = hashlib.sha256(settings.VERSION.encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
