"""What systemd is told, read from a notification socket of our own."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ipsecd.daemon import systemd
from ipsecd.daemon.systemd import Systemd


def told(address: str, act: Callable[[Systemd], None]) -> list[bytes]:
    """The datagrams that the calls of ``act`` produce."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if address.startswith("@") else address)
        manager.setblocking(False)
        act(Systemd({"NOTIFY_SOCKET": address}, pid=1))
        datagrams = []
        while True:
            try:
                datagrams.append(manager.recv(4_096))
            except BlockingIOError:
                return datagrams


def test_the_life_of_a_service(tmp_path: Path) -> None:
    def act(manager: Systemd) -> None:
        manager.ready("1 rule up")
        manager.alive()
        manager.status("2 rules up")
        manager.reloading(12_345)
        manager.ready("2 rules up")
        manager.stopping()

    assert told(str(tmp_path / "notify"), act) == [
        b"READY=1\nSTATUS=1 rule up",
        b"WATCHDOG=1",
        b"STATUS=2 rules up",
        b"RELOADING=1\nMONOTONIC_USEC=12345\nSTATUS=Reading the policy anew",
        b"READY=1\nSTATUS=2 rules up",
        b"STOPPING=1\nSTATUS=Deleting the security associations",
    ]


def test_abstract_sockets_work() -> None:
    assert told(f"@ipsecd-test-{os.getpid()}", lambda manager: manager.alive()) == [b"WATCHDOG=1"]


def test_a_status_can_not_smuggle_an_assignment(tmp_path: Path) -> None:
    assert told(str(tmp_path / "notify"), lambda manager: manager.status("a\nERRNO=1")) == [b"STATUS=a\\nERRNO=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_without_a_listening_manager_nothing_happens(environment: dict[str, str]) -> None:
    Systemd(environment, pid=1).ready("up")


def test_a_manager_that_does_not_read_never_blocks_the_daemon(tmp_path: Path) -> None:
    def act(manager: Systemd) -> None:
        for _ in range(5_000):
            manager.alive()

    assert 0 < len(told(str(tmp_path / "notify"), act)) < 5_000


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(environment: dict[str, str], interval: float | None) -> None:
    assert Systemd(environment, pid=7).watchdog_interval == interval


def test_the_environment_names_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert systemd.from_environment().watchdog_interval == 1.0
