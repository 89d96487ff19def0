"""What routers say of AH packets that were too big for the way, in IPv6.

The kernel takes AH for one more extension header: it hands an ICMPv6 error on to whoever reads the protocol behind the
AH in the packet that the error quotes, and to nobody if that isn't read by a socket. So those errors are read here::

    +---------------+---------------+-------------------------------+
    |   Type = 2    |     Code      |           Checksum            |   RFC 4443 section 3.2
    +---------------+---------------+-------------------------------+
    |                             MTU                               |
    +---------------------------------------------------------------+
    |   as much of the packet as fits: IPv6 header, extension       |
    |   headers, AH (RFC 4302 section 2)                            |
    +---------------------------------------------------------------+

The kernel has looked at the checksum.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from ipaddress import IPv6Address

from ipsecd.io.native_open import AH
from ipsecd.io.udp_errors import PathError
from ipsecd.limits import RECEIVE_BUFFER, SOCKET_ERRORS

_TOO_BIG = 2
_HEAD = struct.Struct("!BxxxI")
_QUOTED = _HEAD.size
_FIXED = 40
_NEXT_HEADER, _DESTINATION = _QUOTED + 6, slice(_QUOTED + 24, _QUOTED + _FIXED)
_SKIPPED = (socket.IPPROTO_HOPOPTS, socket.IPPROTO_ROUTING, socket.IPPROTO_DSTOPTS)
_SPI = 4  # octets of AH in front of it


class AhTooBig:
    """Around a socket of ``native_open.open_too_big``, opened here or by another process of ours. ``heard`` counts what
    was read, as ``error-read``."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.heard: Counter[str] = Counter()

    def fileno(self) -> int:
        """For the event loop: readable when a message waits; and for handing it on."""
        return self._socket.fileno()

    def errors(self, limit: int) -> list[PathError]:
        """At most ``limit``, as the error queue of a socket gives them; their data begins with the SPI."""
        found: list[PathError] = []
        for _ in range(SOCKET_ERRORS):
            if len(found) == limit:
                break
            try:
                octets = self._socket.recv_into(self._buffer)
            except OSError:  # nothing waits
                break
            if (error := about_ah(bytes(self._buffer[:octets]))) is not None:
                self.heard["error-read"] += 1
                found.append(error)
        return found

    def close(self) -> None:
        self._socket.close()


def about_ah(message: bytes) -> PathError | None:
    """What an ICMPv6 message says of a packet with AH; None if it says something else."""
    if len(message) < _QUOTED + _FIXED:
        return None
    kind, mtu = _HEAD.unpack_from(message)
    protocol, at = message[_NEXT_HEADER], _QUOTED + _FIXED
    while protocol in _SKIPPED and at + 2 <= len(message):
        protocol, at = message[at], at + 8 * (1 + message[at + 1])
    data = message[at + _SPI :]
    if kind != _TOO_BIG or protocol != AH or not data:
        return None
    return PathError(errno.EMSGSIZE, True, IPv6Address(message[_DESTINATION]), 0, mtu, data)
