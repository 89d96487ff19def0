"""The error queue of a UDP socket (ip(7), IP_RECVERR): what the kernel and routers say of datagrams that were sent."""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from ipsecd.io.udp_open import IP_RECVERR, IPV6_RECVERR, Address
from ipsecd.limits import MAX_UDP_DATAGRAM, SOCKET_ERRORS

SO_EE_ORIGIN_LOCAL = 1  # linux/errqueue.h
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ANCILLARY = 512


@dataclass(frozen=True, slots=True)
class PathError:
    """What the kernel (``reported`` False) or a router (True) says of a datagram that was sent earlier.

    ``mtu`` is 0 unless it was too big. ``data`` is the beginning of that datagram, as much as came back.
    """

    errno: int
    reported: bool
    remote: Address
    remote_port: int
    mtu: int
    data: bytes


class ErrorQueue:
    """Reads it. ``heard`` counts what was read, as ``error-read``."""

    def __init__(self, opened: socket.socket, heard: Counter[str]) -> None:
        self._socket = opened
        self._heard = heard
        self._kept: deque[PathError] = deque(maxlen=SOCKET_ERRORS)  # read, and not yet handed out

    def take(self, limit: int) -> list[PathError]:
        """At most ``limit`` entries."""
        found = [self._kept.popleft() for _ in range(min(limit, len(self._kept)))]
        while len(found) < limit and (error := self._read()) is not None:
            found.append(error)
        return found

    def link_mtu(self) -> int:
        """What the kernel has just said of the link, 0 if nothing: then the error that a send met was none of its own.
        The routers' entries before it are kept."""
        for _ in range(SOCKET_ERRORS):
            if (error := self._read()) is None:
                return 0
            if not error.reported and error.mtu:
                return error.mtu
            self._kept.append(error)
        return 0

    def _read(self) -> PathError | None:
        try:
            data, ancillary, _, target = self._socket.recvmsg(MAX_UDP_DATAGRAM, _ANCILLARY, socket.MSG_ERRQUEUE)
        except OSError:  # it's empty
            return None
        self._heard["error-read"] += 1
        return next(_path_errors(ancillary, data, target), None)


def _path_errors(ancillary: list[tuple[int, int, bytes]], data: bytes, target: tuple[str, int]) -> Iterator[PathError]:
    for level, kind, content in ancillary:
        if (level, kind) not in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}:
            continue
        number, origin, _, _, _, info, _ = _EXTENDED_ERROR.unpack_from(content)
        yield PathError(
            errno=number,
            reported=origin != SO_EE_ORIGIN_LOCAL,
            remote=ip_address(target[0].partition("%")[0]),
            remote_port=target[1],
            mtu=info if number == errno.EMSGSIZE else 0,
            data=data,
        )
