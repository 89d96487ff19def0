"""Whole IP packets that leave by the machine's own routing, header included: those that have waited for an SA and may
leave in clear after all. They meet the floor as any packet of this machine does."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

from ipsecd.errors import KernelError
from ipsecd.io.native_open import open_header_included


class RawSender:
    """One socket for each IP version, opened when it is first needed. Nothing is read: of the protocol number 255 no
    packet ever comes."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def send(self, packet: bytes, destination: IPv4Address | IPv6Address) -> bool:
        """Whether the kernel took it. ``destination`` is the one in its header; the kernel computes the checksum of an
        IPv4 header."""
        try:
            return self._socket(destination.version).sendto(packet, (str(destination), 0)) == len(packet)
        except (OSError, KernelError):
            return False

    def close(self) -> None:
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    def _socket(self, version: int) -> socket.socket:
        if version not in self._sockets:
            self._sockets[version] = open_header_included(version)
        return self._sockets[version]
