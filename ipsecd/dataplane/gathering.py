"""Single packets of known flows, gathered into runs: what policy, SA and sizes say of a flow is remembered for a while.

Only plain packets are: whole TCP and UDP packets without options, and no SYN, as the segment size in those is looked
at; and ICMP echoes, as someone times them. Packets that stand for many may be plain as well. Whatever the control side
says makes all flows forgotten, and so does time.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable

from ipsecd.dataplane.ways import Way
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import FLAGS_AT, SYN

_V4 = struct.Struct("!BBHxxHxB2x12s")  # to the ports: version, TOS, length, fragment, protocol, addresses and ports
_V6 = struct.Struct("!IHBx36s")  # version and class, length, next header, addresses and ports
_FRAGMENT = 0x3FFF
_V4_OCTETS, _V6_OCTETS, _UDP_OCTETS = 20, 40, 8
_TCP, _UDP, _ICMP, _ICMPV6 = map(int, (IpProtocol.TCP, IpProtocol.UDP, IpProtocol.ICMP, IpProtocol.ICMPV6))
_V4_ECHOES, _V6_ECHOES = frozenset({0, 8}), frozenset({128, 129})  # types: replies and requests


def plain(packet: memoryview) -> Hashable:
    """Of which flow a packet is, in a form to be looked up: by all that decides how it goes, but for its length. None
    if it isn't plain."""
    size = len(packet)
    if size < _V4_OCTETS + _UDP_OCTETS:
        return None
    if packet[0] == 0x45:
        _, tos, octets, fragment, protocol, ends = _V4.unpack_from(packet)
        if fragment & _FRAGMENT or octets != size:
            return None
        ends = _ends(packet, _V4_OCTETS, protocol, ends, protocol == _ICMP and packet[_V4_OCTETS] in _V4_ECHOES)
        return ends and (tos, fragment, protocol, ends)
    if packet[0] >> 4 == 6 and size >= _V6_OCTETS + _UDP_OCTETS:
        first, payload, protocol, ends = _V6.unpack_from(packet)
        if payload + _V6_OCTETS != size:
            return None
        ends = _ends(packet, _V6_OCTETS, protocol, ends, protocol == _ICMPV6 and packet[_V6_OCTETS] in _V6_ECHOES)
        return ends and (first >> 20, protocol, ends)
    return None


def _ends(packet: memoryview, start: int, protocol: int, shown: bytes, echo: bool) -> bytes | None:
    """What is ``shown`` of a plain packet as policy sees it: addresses and ports, or the type and code of an echo."""
    if protocol == _TCP:
        return None if len(packet) <= start + FLAGS_AT or packet[start + FLAGS_AT] & SYN else shown
    if protocol == _UDP:
        return shown
    return shown[:-2] if echo else None  # the rest is its checksum


class Gathered:
    """Packets of one way and one size, ``octets`` each, which leave in one call. ``stale``: the way may be another by
    now."""

    __slots__ = ("octets", "packets", "size", "stale", "way")

    def __init__(self, way: Way, octets: int, packet: bytes) -> None:
        self.way = way
        self.octets = octets
        self.size = way.size(octets)
        self.packets = [packet]
        self.stale = False

    def takes(self, way: Way, octets: int) -> bool:
        """Whether a packet that goes this way may be the next."""
        if octets != self.octets or len(self.packets) >= self.size.most:
            return False
        mine = self.way
        return way is mine or (
            way.sa is mine.sa
            and way.entry == mine.entry
            and (way.next_header, way.ahead, way.tos, way.df) == (mine.next_header, mine.ahead, mine.tos, mine.df)
            # and so the same front
        )
