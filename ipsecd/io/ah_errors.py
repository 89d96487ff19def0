"""What routers and the far end say of AH packets that don't get there, in IPv6.

The kernel takes AH for one more extension header: it hands an ICMPv6 error on to whoever reads the protocol behind the
AH in the packet that the error quotes, and to nobody if that isn't read by a socket. So those errors are read here::

    +---------------+---------------+-------------------------------+
    |  Type = 1..4  |     Code      |           Checksum            |   RFC 4443 section 3
    +---------------+---------------+-------------------------------+
    |                 MTU, if the type is 2 (too big)               |
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

_UNREACHABLE, _TOO_BIG, _OVER, _PROBLEM = 1, 2, 3, 4
# by code, as the kernel has them (linux/net/ipv6/icmp.c, icmpv6_err_convert)
_NOT_THERE = (
    errno.ENETUNREACH,
    errno.EACCES,
    errno.EHOSTUNREACH,
    errno.EHOSTUNREACH,
    errno.ECONNREFUSED,
    errno.EACCES,
    errno.EACCES,
)
_OTHERS = {_TOO_BIG: errno.EMSGSIZE, _OVER: errno.EHOSTUNREACH, _PROBLEM: errno.EPROTO}
_HEAD = struct.Struct("!BBxxI")
_QUOTED = _HEAD.size
_FIXED = 40
_NEXT_HEADER, _DESTINATION = _QUOTED + 6, slice(_QUOTED + 24, _QUOTED + _FIXED)
_SKIPPED = (socket.IPPROTO_HOPOPTS, socket.IPPROTO_ROUTING, socket.IPPROTO_DSTOPTS)
_SPI = 4  # octets of AH in front of it


class AhErrors:
    """Around a socket of ``native_open.open_errors``, opened here or by another process of ours. ``heard`` counts what
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
    """What an ICMPv6 error says of a packet with AH; None if it is none, or about another packet."""
    if len(message) < _QUOTED + _FIXED:
        return None
    kind, code, mtu = _HEAD.unpack_from(message)
    protocol, at = message[_NEXT_HEADER], _QUOTED + _FIXED
    while protocol in _SKIPPED and at + 2 <= len(message):
        protocol, at = message[at], at + 8 * (1 + message[at + 1])
    data = message[at + _SPI :]
    number = _number(kind, code)
    if number is None or protocol != AH or not data:
        return None
    mtu = mtu if kind == _TOO_BIG else 0
    return PathError(number, True, IPv6Address(message[_DESTINATION]), 0, mtu, data)


def _number(kind: int, code: int) -> int | None:
    """What the kernel would call the error."""
    if kind == _UNREACHABLE:
        return _NOT_THERE[code] if code < len(_NOT_THERE) else errno.EACCES
    return _OTHERS.get(kind)
