"""What is told of packets that were read by one call: which are alike, and what they have in common."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ipsecd.io.many_in import ManyIn, ancillary_data
from ipsecd.io.native import ANCILLARY, Address, Told, ends_of
from ipsecd.limits import UDP_ENDS

_V4 = struct.Struct("!H4xHxB2x8s")  # version, header length and TOS; flags and offset; protocol; addresses
_V4_OCTETS = 24  # in whole words: a header without options, and what stands behind it
_V4_ALIKE = np.frombuffer(  # the same
    b"\xff\xff\0\0\0\0\xff\xff\0\xff\0\0" + b"\xff" * 8 + bytes(4), np.uint64
)
_V4_ENDS = slice(12, 20)
_FEW = 7  # packets that are looked at one by one in less time than together
_NAME_OCTETS = 28  # struct sockaddr_in6
_ADDRESS_IN_NAME = slice(8, 24)

Beside = tuple[bytes, bytes, int]  # a sockaddr, control data, and flags
Key = bytes | Beside | tuple[int, int, int, bytes]
Usable = Callable[[str, tuple[tuple[int, int, bytes], ...], int], Told | None]


class Common(NamedTuple):
    """What packets have in common: their addresses, the same objects while they are the same; and the headers that the
    kernel told beside each, as in ``ipv6_front``."""

    local: Address
    remote: Address
    headers: bytes = b""


class ToldV4:
    """Of whole IPv4 packets: all stands in their headers."""

    def __init__(self, descriptor: int) -> None:
        self.many = ManyIn(descriptor)
        self._heads = self.many.slots[:, :_V4_OCTETS].view(np.uint64)

    def keys(self, count: int) -> Sequence[Key]:
        """One for each of the first slots, equal for packets that are alike."""
        if count < _FEW:
            return [_V4.unpack_from(packet) for packet in self.many.packets[:count]]
        return _each((self._heads[:count] & _V4_ALIKE).tobytes(), count)

    def common(self, slot: int) -> Common:
        """What the packet in this slot and those like it have in common."""
        return _between(bytes(self.many.packets[slot][_V4_ENDS]))


class ToldV6:
    """Of what is behind the headers of IPv6 packets: the rest is told beside it, if it is ``usable``."""

    def __init__(self, descriptor: int, usable: Usable) -> None:
        self.many = ManyIn(descriptor, name=_NAME_OCTETS, ancillary=ANCILLARY)
        self._usable = usable
        self._latest: Beside | None = None  # what was told last, and what came of it
        self._common: Common | None = None

    def keys(self, count: int) -> Sequence[Key]:
        """Likewise."""
        many = self.many
        octets, flags = many.control_octets[:count].tolist(), many.flags[:count].tolist()
        if octets.count(octets[0]) < count or any(flags):
            return [self._beside(slot) for slot in range(count)]
        names = _each(many.names[:count].tobytes(), count)
        controls = _each(many.controls[:count, : octets[0]].tobytes(), count)
        return [name + control for name, control in zip(names, controls, strict=True)]

    def common(self, slot: int) -> Common | None:
        """Likewise; None if it isn't usable."""
        beside = self._beside(slot)
        if self._common is None or beside != self._latest:
            name, control, flags = self._latest = beside
            sender = socket.inet_ntop(socket.AF_INET6, name[_ADDRESS_IN_NAME])
            found = self._usable(sender, tuple(ancillary_data(control)), flags)
            self._common = None if found is None else Common(found.front.destination, found.remote, found.front.headers)
        return self._common

    def _beside(self, slot: int) -> Beside:
        many = self.many
        control = many.controls[slot, : many.control_octets[slot]].tobytes()
        return many.names[slot].tobytes(), control, int(many.flags[slot])


@lru_cache(maxsize=UDP_ENDS)
def _between(addresses: bytes) -> Common:
    return Common(*ends_of(addresses))


def _each(octets: bytes, count: int) -> list[bytes]:
    """So many pieces of one size."""
    size = len(octets) // count
    first = octets[:size]
    if octets == first * count:
        return [first] * count
    return [octets[at : at + size] for at in range(0, len(octets), size)]
