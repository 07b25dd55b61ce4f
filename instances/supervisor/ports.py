"""Ports of this host: which are free, and who holds one that is not."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable

import psutil

HOST = "127.0.0.1"


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
    """Who listens there, in words."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if (
                connection.pid
                and connection.status == psutil.CONN_LISTEN
                and address
                and address.port == port
            ):
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, PermissionError):
        pass
    return "another program"
