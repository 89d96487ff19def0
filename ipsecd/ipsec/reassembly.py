"""Fragments put together again where ports decide which SA a packet goes by (RFC 4301 section 7).

Only the first fragment of a packet shows its ports. The kernel has had the whole packet in its hands to steer it, but
cuts it again on its way to the TUN device, to the size its sender had chosen, however large that device's MTU is. So
what comes here belongs to a packet that is complete, one fragment right behind the other, and all of one TOS octet.

A whole packet leaves without DF if it is IPv4, and with the fragment header of its source if it is IPv6: then it may be
cut again where it leaves the tunnel.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ipsecd import limits
from ipsecd.ipsec.fragment import IPV6_FRAGMENT_OCTETS, ipv4_with_length
from ipsecd.wire.ip import IPV6_OCTETS, MAX_PACKET, IpPacket
from ipsecd.wire.selector import Address


class Loss(Enum):
    """Why fragments are dropped."""

    MISMATCH = "fragment-mismatch"
    DUPLICATE = "fragment-duplicate"
    LATE = "fragment-late"
    FULL = "fragment-full"


class Gathered(NamedTuple):
    """What a fragment brought about: the whole packet once it is complete, and of how many fragments; why some were
    dropped, and how many."""

    whole: bytes | None = None
    fragments: int = 0
    loss: Loss | None = None
    lost: int = 0


class _Key(NamedTuple):
    """RFC 791 section 3.2, RFC 8200 section 4.5."""

    source: Address
    destination: Address
    protocol: int
    identification: bytes


@dataclass(slots=True)
class _Packet:
    """A packet of which some is missing: its pieces by offset, and where it ends."""

    began: float
    pieces: dict[int, bytes] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)  # sorted
    header: bytes = b""  # of the first
    fragment_header: int = 0  # where that of IPv6 stands in it
    end: int | None = None
    have: int = 0

    def fits(self, offset: int, body: bytes, more: bool) -> bool:
        """Whether none of these octets is there already (RFC 5722), and none lies behind the end."""
        end = offset + len(body)
        if self.end is not None and (end > self.end or not more):
            return False
        at = bisect_left(self.offsets, offset)
        before, after = self.offsets[at - 1 : at], self.offsets[at : at + 1]
        if before and before[0] + len(self.pieces[before[0]]) > offset:
            return False
        if after and after[0] < end:
            return False
        return more or not self.offsets or end > self.offsets[-1]

    @property
    def cost(self) -> int:
        return self.have + limits.REASSEMBLY_OVERHEAD * (len(self.pieces) + 1)


class Reassembly:
    """The packets of which fragments are missing, the oldest first."""

    def __init__(self) -> None:
        self._packets: OrderedDict[_Key, _Packet] = OrderedDict()
        self._cost = 0
        self.held = 0  # fragments that wait now

    def add(self, packet: bytes, inner: IpPacket, now: float) -> Gathered:
        """Take in a fragment."""
        at = inner.fragment_header
        if inner.version == 6:
            key = _Key(inner.source, inner.destination, 0, packet[at + 4 : at + 8])
            header = packet[: at + IPV6_FRAGMENT_OCTETS]
        else:
            key = _Key(inner.source, inner.destination, inner.protocol, packet[4:6])
            header = packet[: inner.header_octets]
        body, offset = packet[len(header) : inner.total_octets], inner.fragment_offset
        partial = self._packets.get(key)
        if partial is None:
            partial = self._packets[key] = _Packet(now)
            self._cost += partial.cost
        elif partial.pieces.get(offset) == body:
            return Gathered(loss=Loss.DUPLICATE, lost=1)
        if not partial.fits(offset, body, inner.more_fragments):
            return Gathered(loss=Loss.MISMATCH, lost=1 + self._forget(key))
        self._enter(partial, offset, body)
        if offset == 0:
            partial.header, partial.fragment_header = header, at
        if not inner.more_fragments:
            partial.end = offset + len(body)
        if partial.have != partial.end:
            return self._make_room()
        count = self._forget(key)
        if len(partial.header) + partial.end > MAX_PACKET:
            return Gathered(loss=Loss.MISMATCH, lost=count)
        return Gathered(_joined(inner.version, partial), count)

    def expire(self, now: float) -> int:
        """Forget packets whose rest hasn't come in time; returns how many fragments that were."""
        count = 0
        while (when := self.deadline()) is not None and when <= now:
            count += self._forget(next(iter(self._packets)))
        return count

    def deadline(self) -> float | None:
        """When ``expire`` has something to forget."""
        for oldest in self._packets.values():
            return oldest.began + limits.REASSEMBLY_TIME
        return None

    def _enter(self, partial: _Packet, offset: int, body: bytes) -> None:
        self._cost -= partial.cost
        partial.pieces[offset] = body
        insort(partial.offsets, offset)
        partial.have += len(body)
        self._cost += partial.cost
        self.held += 1

    def _forget(self, key: _Key) -> int:
        partial = self._packets.pop(key)
        self._cost -= partial.cost
        self.held -= len(partial.pieces)
        return len(partial.pieces)

    def _make_room(self) -> Gathered:
        count = 0
        while self._cost > limits.REASSEMBLY_OCTETS:
            count += self._forget(next(iter(self._packets)))
        return Gathered(loss=Loss.FULL, lost=count) if count else Gathered()


def _joined(version: int, partial: _Packet) -> bytes:
    body = b"".join(partial.pieces[offset] for offset in partial.offsets)
    header = bytearray(partial.header)
    if version == 4:
        return ipv4_with_length(header, len(body), 0) + body
    struct.pack_into("!H", header, 4, len(header) - IPV6_OCTETS + len(body))
    struct.pack_into("!H", header, partial.fragment_header + 2, 0)
    return bytes(header) + body
