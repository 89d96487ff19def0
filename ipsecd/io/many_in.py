"""Packets read by one system call (recvmmsg(2)), each into a slot of its own, together with what is told beside it."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ipsecd.io.many import LIBC, MANY, Table, rows
from ipsecd.limits import RECEIVE_BUFFER

_recvmmsg = LIBC.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)

# Each slot has room for any packet. Only the pages that are written to take memory, and as the distance isn't a power
# of two, packets of the same kind don't take each other's place in the processor's caches.
_SLOT = RECEIVE_BUFFER + 25 * 64
_OFTEN = 128  # octets of ancillary data that have more than packets without extension headers bring along
_CMSGHDR = struct.Struct("@Nii")  # struct cmsghdr
_ALIGNED = _CMSGHDR.size - 2 * ctypes.sizeof(ctypes.c_int)  # to a size_t


class ManyIn:
    """Reads from a raw socket: packets, and with ``ancillary`` up to so many octets beside each, and the sender, a
    sockaddr of ``name`` octets."""

    def __init__(self, descriptor: int, *, name: int = 0, ancillary: int = 0) -> None:
        self._descriptor = descriptor
        self.slots = np.zeros((MANY, _SLOT), np.uint8)
        self.packets = [slot.data for slot in self.slots]  # likewise
        self.names = np.zeros((MANY, name), np.uint8)
        self.controls = np.zeros((MANY, ancillary), np.uint8)
        self._name, self._ancillary = name, ancillary
        self._often = self.controls[:, :_OFTEN]
        self._count = 0  # slots that were filled last
        self._table = Table()
        headers, iovecs = self._table.headers, self._table.iovecs
        iovecs["base"], iovecs["octets"] = rows(self.slots), RECEIVE_BUFFER
        if ancillary:
            headers["name"], headers["control"] = rows(self.names), rows(self.controls)
        self.octets: NDArray[np.uintc] = self._table.messages["octets"]
        self.flags: NDArray[np.intc] = headers["flags"]
        self.control_octets: NDArray[np.uintp] = headers["control_octets"]
        self._name_octets: NDArray[np.uint32] = headers["name_octets"]

    def read(self, most: int) -> int:
        """How many packets were read, at most ``most`` and MANY, into the first slots; 0 if none waits. Raises OSError
        for an error that stands in the place of the first; one behind others comes with the next call."""
        if self._ancillary:
            self._often[: self._count] = 0  # the kernel writes around the padding
            self._name_octets[:most] = self._name
            self.control_octets[:most] = self._ancillary
        self._count = 0
        count: int = _recvmmsg(self._descriptor, self._table.at, min(most, MANY), socket.MSG_DONTWAIT, None)
        if count >= 0:
            self._count = count
            return count
        number = ctypes.get_errno()
        if number == errno.EAGAIN:
            return 0
        raise OSError(number, os.strerror(number))


def ancillary_data(control: bytes) -> Iterator[tuple[int, int, bytes]]:
    """What stands in control data, as recvmsg gives it: level, type and octets of each."""
    at = 0
    while at + _CMSGHDR.size <= len(control):
        octets, level, kind = _CMSGHDR.unpack_from(control, at)
        yield level, kind, control[at + _CMSGHDR.size : at + octets]
        at += max(_CMSGHDR.size, -(-octets // _ALIGNED) * _ALIGNED)
