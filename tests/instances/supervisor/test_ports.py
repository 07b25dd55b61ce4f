from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from instances.supervisor import ports

LISTEN = """
import os, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listening(port: int = 0) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.args = process.stdout.readline().strip()  # its port
    return process


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[str]]:
    process = listening()
    yield process
    process.communicate()


def test_a_holder_is_named_with_process_and_owner(stranger: subprocess.Popen[str]) -> None:
    port, process = int(str(stranger.args)), psutil.Process(stranger.pid)
    assert not ports.is_free(port)
    assert ports.holder(port) == f"{process.name()} (process {process.pid} of {process.username()})"


def test_a_holder_that_is_hidden_from_us_is_told_by_its_user(
    stranger: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "net_connections", lambda kind: [])
    user = psutil.Process(stranger.pid).username()
    assert ports.holder(int(str(stranger.args))) == f"a program of the user {user}"
    assert ports.holder(1) == "another program"


def test_who_shares_a_port_is_a_stranger_unless_it_is_ours(stranger: subprocess.Popen[str]) -> None:
    # row 10: a stale engine shares the port
    port = int(str(stranger.args))
    second = listening(port)
    try:
        assert ports.strangers(port, stranger.pid) == [second.pid]
        assert ports.strangers(port, os.getpid()) == []  # both are below this test
        assert ports.strangers(port, None) == sorted((stranger.pid, second.pid))
    finally:
        second.communicate()


def test_who_comes_to_share_a_port_is_noticed_at_the_next_look(stranger: subprocess.Popen[str]) -> None:
    # row 10: a stale engine shares it later
    port, sharing = int(str(stranger.args)), ports.Sharing()
    sharing.look(0.0)
    assert sharing.strangers(port, stranger.pid) == []
    second = listening(port)
    try:
        sharing.look(1.0)  # too soon for another look
        assert sharing.strangers(port, stranger.pid) == []
        sharing.look(5.0)
        assert sharing.strangers(port, stranger.pid) == [second.pid]
        assert sharing.strangers(port, os.getpid()) == []
    finally:
        second.communicate()
    sharing.look(10.0)
    assert sharing.strangers(port, stranger.pid) == []


def test_the_first_free_port_is_none_that_is_taken_or_listened_on() -> None:
    with socket.socket() as held, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]  # nobody has ever connected to it
        other.close()
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert ports.first_free([port, 1, free], taken={1}) == free
        assert ports.first_free([port], taken=()) is None
