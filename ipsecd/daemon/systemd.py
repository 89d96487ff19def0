"""Telling systemd how we are (sd_notify(3)): ready, reloading, stopping, still alive.

Written out because cysystemd's ``notify`` sends one assignment a datagram, and ``RELOADING=1`` must come with
``MONOTONIC_USEC=`` in the same one; it also blocks with Python's global lock held.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from ipsecd.printable import printable


class Systemd:
    """The notification socket of $NOTIFY_SOCKET; without one, all calls do nothing."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.watchdog_interval = _watchdog_interval(environment, pid)

    def ready(self, status: str) -> None:
        """Start or reload is complete."""
        self._send("READY=1", _status(status))

    def reloading(self, now_microseconds: int) -> None:
        """``now_microseconds`` is CLOCK_MONOTONIC; ``ready`` must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_microseconds}", _status("Reading the policy anew"))

    def stopping(self) -> None:
        self._send("STOPPING=1", _status("Deleting the security associations"))

    def status(self, text: str) -> None:
        """The line that ``systemctl status`` shows."""
        self._send(_status(text))

    def alive(self) -> None:
        """To be called at least each ``watchdog_interval`` seconds."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:  # a service manager that doesn't listen is no reason to stop carrying packets
            return


def _status(text: str) -> str:
    return f"STATUS={printable(text)}"


def _watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds between signs of life: half of what WATCHDOG_USEC allows (sd_watchdog_enabled(3)); None if not asked."""
    text = environment.get("WATCHDOG_USEC", "")
    if not text.isdecimal() or int(text) == 0 or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(text) / 2_000_000


def from_environment() -> Systemd:
    """The one this process was started with."""
    return Systemd(os.environ, os.getpid())
