"""Packets of one size sent by one system call (sendmmsg(2)): each is a packet of its own to the kernel all the same."""

from __future__ import annotations

import ctypes
import socket
import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ipsecd.io.many import LIBC, MANY, Table, address
from ipsecd.io.outgoing import coming_from
from ipsecd.limits import UDP_ENDS

_sendmmsg = LIBC.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)

_NAME_V4 = struct.Struct("=HH4s8x")  # struct sockaddr_in
_NAME_V6 = struct.Struct("=HHI16sI")  # struct sockaddr_in6
_CMSGHDR = struct.Struct("@Nii")  # struct cmsghdr
_ROOM = 64  # octets, for any of these


class Ends(NamedTuple):
    """Where a packet goes and which address of ours it comes from, as the kernel wants them: a sockaddr, and ancillary
    data."""

    name: bytes
    control: bytes


class ManyOut:
    """Sends by a raw socket, which it doesn't own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._table = Table()
        self._bases, self._sizes = self._table.iovecs["base"], self._table.iovecs["octets"]
        self._ends: Ends | None = None  # of the last call
        self._cut = (0, 0)  # where its packets began, and how large they were
        self._steps = np.arange(MANY, dtype=np.uintp)
        self._name, self._control = memoryview(bytearray(_ROOM)), memoryview(bytearray(_ROOM))
        headers = self._table.headers
        headers["name"], headers["control"] = _place(self._name), _place(self._control)
        self._name_octets, self._control_octets = headers["name_octets"], headers["control_octets"]

    def send(self, packets: bytes | memoryview, segment: int, ends: Ends) -> int:
        """Send these, ``segment`` octets each but for the last, which may have less: MANY of them at most. How many
        were sent, from the first on; the kernel didn't take the one behind them, if there is one, and keeps for itself
        why."""
        octets = len(packets)
        count = -(-octets // segment)
        if count > MANY:
            count, octets = MANY, MANY * segment
        if ends is not self._ends:
            self._use(ends)
        cut = _place(packets), segment
        if cut != self._cut:
            self._cut = cut
            np.multiply(self._steps, segment, out=self._bases)
            self._bases += cut[0]
            self._sizes[:] = segment
        self._sizes[count - 1] = octets - (count - 1) * segment
        sent: int = _sendmmsg(self._descriptor, self._table.at, count, 0)
        self._sizes[count - 1] = segment
        return max(0, sent)

    def _use(self, ends: Ends) -> None:
        self._ends = ends
        self._name[: len(ends.name)], self._control[: len(ends.control)] = ends
        self._name_octets[:], self._control_octets[:] = len(ends.name), len(ends.control)


def _place(octets: bytes | memoryview) -> int:
    """Where they stand in memory."""
    if isinstance(octets, memoryview) and not octets.readonly:
        return ctypes.addressof(ctypes.c_char.from_buffer(octets))  # in a sixth of the time
    return address(np.frombuffer(octets, np.uint8))


@lru_cache(maxsize=UDP_ENDS)
def ends_to(version: int, local: int, remote: int) -> Ends:
    """The same object for the same addresses, as numbers."""
    ((level, kind, data),) = coming_from(version, local)
    control = _CMSGHDR.pack(_CMSGHDR.size + len(data), level, kind) + data
    if version == 4:
        return Ends(_NAME_V4.pack(socket.AF_INET, 0, remote.to_bytes(4, "big")), control)
    return Ends(_NAME_V6.pack(socket.AF_INET6, 0, 0, remote.to_bytes(16, "big"), 0), control)
