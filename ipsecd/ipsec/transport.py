"""Transport mode's header work: where AH or ESP goes in a packet, and the headers of one that it goes in or leaves.

It goes behind an IPv4 header with its options. In IPv6 it goes behind the headers that the way there is concerned with,
hop-by-hop options and routing, and destination options in front of a routing header; and in front of all that is for
the receiver (RFC 4302 section 3.1.1, RFC 4303 section 3.1.1, RFC 8200 section 4.1).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ipsecd.errors import Refused
from ipsecd.ipsec.fragment import ipv4_with_length
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS, MAX_PACKET, IpPacket
from ipsecd.wire.ipv6_chain import HOP_BY_HOP, NEXT_HEADER, extensions, without_fragment_header
from ipsecd.wire.registry import IpProtocol

_ON_THE_WAY = (HOP_BY_HOP, IpProtocol.ROUTING)
_FRAGMENT_OCTETS = 8
_LENGTH, _PROTOCOL, _CHECKSUM = 128, 80, 64  # by how many bits fields stand left of the end of an IPv4 header
_KEPT = (1 << 8 * IPV4_OCTETS) - 1 ^ (0xFFFF << _LENGTH | 0xFF << _PROTOCOL | 0xFFFF << _CHECKSUM)


class Split(NamedTuple):
    """The headers in front of the place, as they were; the protocol of what stands behind it; and that itself."""

    front: bytes
    next_header: int
    payload: bytes


def split(packet: bytes, whole: IpPacket) -> Split:
    """Take a packet apart where AH or ESP goes in; ``whole`` is the view of it.

    An IPv6 fragment header is left out: the packet is whole, and to its receiver it must be as if there were none
    (RFC 4302 appendix A2). Refused("transport-fragment") for a fragment, which can't be protected in this mode
    (section 3.3.4).
    """
    if whole.is_fragment:
        raise Refused("transport-fragment")
    if whole.transport_offset == whole.header_octets:
        place = whole.header_octets
        return Split(packet[:place], whole.protocol, packet[place : whole.total_octets])
    packet, end = packet[: whole.total_octets], whole.transport_offset
    if whole.fragment_header:
        packet, end = without_fragment_header(packet, end), end - _FRAGMENT_OCTETS
    place, named_at = _place(packet, end)
    return Split(packet[:place], packet[named_at], packet[place:])


def front_octets(packet: bytes, whole: IpPacket) -> int:
    """How many octets of headers stand in front of the place."""
    if whole.transport_offset == whole.header_octets:
        return whole.header_octets
    return _place(packet, whole.transport_offset)[0]


def _place(packet: bytes, end: int) -> tuple[int, int]:
    """Where the place is in an IPv6 packet, and the octet that says what stands there."""
    place, named_at = IPV6_OCTETS, NEXT_HEADER
    for kind, at, octets, _ in extensions(packet, end):
        if kind in _ON_THE_WAY:
            place, named_at = at + octets, at
    return place, named_at


def headed(front: bytes, protocol: int, octets: int) -> bytes:
    """The headers in front of so many octets of a protocol. Refused("too-big") if no packet is so large."""
    if len(front) == IPV4_OCTETS:
        return _plain_headed(front, protocol, octets)
    rebuilt = bytearray(front)
    if front[0] >> 4 == 4:
        if len(front) + octets > MAX_PACKET:
            raise Refused("too-big")
        rebuilt[9] = protocol
        return ipv4_with_length(rebuilt, octets, int.from_bytes(front[6:8], "big"))
    payload = len(front) - IPV6_OCTETS + octets
    if payload > MAX_PACKET:
        raise Refused("too-big")
    struct.pack_into("!H", rebuilt, 4, payload)
    named_at = NEXT_HEADER
    for extension in extensions(front, len(front)):
        named_at = extension.at
    rebuilt[named_at] = protocol
    return bytes(rebuilt)


def _plain_headed(front: bytes, protocol: int, octets: int) -> bytes:
    """An IPv4 header without options, which nearly all are, as one number: its remainder is the sum of its words."""
    total = IPV4_OCTETS + octets
    if total > MAX_PACKET:
        raise Refused("too-big")
    header = int.from_bytes(front, "big") & _KEPT | total << _LENGTH | protocol << _PROTOCOL
    check = 0xFFFF ^ (header % 0xFFFF or 0xFFFF)
    return (header | check << _CHECKSUM).to_bytes(IPV4_OCTETS, "big")
