"""Ports of this host: which are free, and who holds one that is not."""

from __future__ import annotations

import pwd
import socket
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import psutil

from monitoring.processes import described

HOST = "127.0.0.1"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = " 0A "  # the state of a listener; no other column can look so
LOOK_EVERY = 5.0  # seconds


def is_free(port: int) -> bool:
    """Whether nobody listens there. Bound without SO_REUSEPORT, so that a sharing listener shows too."""
    with socket.socket() as probe:
        # Connections in TIME_WAIT are no listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def first_free(candidates: Iterable[int], taken: Collection[int | None]) -> int | None:
    return next((port for port in candidates if port not in taken and is_free(port)), None)


def holder(port: int) -> str:
    """Who listens there, in words: as exactly as this account may know it."""
    if pids := listeners(port):
        return ", ".join(described(pid) for pid in sorted(pids))
    user = _listening_user(port)
    return f"a program of the user {user}" if user else "another program"


def strangers(port: int, main: int | None) -> list[int]:
    """The pids of listeners there that are neither this main process nor below it."""
    return sorted(pid for pid in listeners(port) if pid != main and main not in _ancestors(pid))


def listeners(port: int) -> set[int]:
    """Only those that this account may look at."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return set()
    return {
        one.pid
        for one in connections
        if one.pid and one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
    }


def _ancestors(pid: int) -> set[int]:
    try:
        return {process.pid for process in psutil.Process(pid).parents()}
    except psutil.Error:  # it has ended
        return set()


def _listening_user(port: int) -> str:
    """Whose a listener is, also where the process itself is hidden from us; empty if there is none."""
    for found, uid in _table():
        if found == port:
            try:
                return pwd.getpwuid(uid).pw_name
            except KeyError:  # a user of another container
                return str(uid)
    return ""


def _table() -> Iterator[tuple[int, int]]:
    """Port and user of every listener of this host."""
    for table in TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            if LISTENING in line:  # most are connections, and a busy host has thousands
                fields = (
                    line.split()
                )  # sl, local address, remote address, state, ..., uid at the eighth place
                yield int(fields[1].rpartition(":")[2], 16), int(fields[7])


class Sharing:
    """Notices who comes to listen on the port of an engine that runs already.

    The table of listeners is cheap to read; whose they are is asked only where a port has more than one.
    """

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._shared: set[int] = set()
        self._found: dict[tuple[int, int | None], list[int]] = {}  # since the last look

    def look(self, now: float) -> None:
        """`now` is monotonic seconds."""
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            counted = Counter(port for port, _ in _table())
            self._shared = {port for port, listeners in counted.items() if listeners > 1}
            self._found = {}

    def strangers(self, port: int | None, main: int | None) -> list[int]:
        """As `strangers`, as of the last look."""
        if port is None or port not in self._shared:
            return []
        if (port, main) not in self._found:  # an engine may well have several listeners of its own
            self._found[port, main] = strangers(port, main)
        return self._found[port, main]
