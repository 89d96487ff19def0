"""Packets cut into fragments: IPv4 before ESP (RFC 4301 section 8.2.1 case 2; RFC 791 section 3.2), IPv6 packets that
their source had cut and that came through the tunnel in one piece (RFC 8200 section 4.5), and packets with AH or ESP
that no UDP socket cuts for us."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ipsecd.errors import LocalError, Refused
from ipsecd.wire.checksum import checksum
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS, MAX_PACKET, IpPacket
from ipsecd.wire.ipv6_chain import NEXT_HEADER, extensions
from ipsecd.wire.registry import IpProtocol

IPV6_FRAGMENT_OCTETS = 8

_COPIED = 0x80  # RFC 791 section 3.1: the option stands in every fragment
_END, _NO_OPERATION = 0, 1
_MORE_V4 = 0x2000
_MORE_V6 = 0x0001


def fragments(packet: bytes, inner: IpPacket, mtu: int) -> list[bytes]:
    """The packet in pieces of at most ``mtu`` octets, in order. A piece of a fragment keeps its place in the whole.

    LocalError for a packet that must not be fragmented, which an IPv6 packet without a fragment header of its source
    is, or an ``mtu`` without room for a header and 8 octets.
    """
    if inner.dont_fragment and not inner.fragment_header:
        raise LocalError("this packet must not be fragmented")
    if inner.version == 6:
        header = packet[: inner.fragment_header + IPV6_FRAGMENT_OCTETS]
        pieces = _cut(packet[len(header) : inner.total_octets], inner, mtu, header, header)
        return [_ipv6_piece(inner.fragment_header, *piece) for piece in pieces]
    header = packet[: inner.header_octets]
    later = header[:IPV4_OCTETS] + _copied_options(header[IPV4_OCTETS:])
    return [_ipv4_piece(*piece) for piece in _cut(packet[len(header) : inner.total_octets], inner, mtu, header, later)]


def with_fragment_header(packet: bytes, at: int, identification: int) -> bytes:
    """An IPv6 packet that may be cut: ``at`` octets of headers stand in every piece. Refused("too-big") if no packet is
    so large."""
    rebuilt = bytearray(packet[:at])
    last = NEXT_HEADER
    for extension in extensions(packet, at):
        last = extension.at
    following, rebuilt[last] = rebuilt[last], IpProtocol.FRAGMENT
    payload = len(packet) - IPV6_OCTETS + IPV6_FRAGMENT_OCTETS
    if payload > MAX_PACKET:
        raise Refused("too-big")
    struct.pack_into("!H", rebuilt, 4, payload)
    return bytes(rebuilt) + struct.pack("!BxHI", following, 0, identification) + packet[at:]


def _cut(
    body: bytes, inner: IpPacket, mtu: int, first: bytes, later: bytes
) -> Iterator[tuple[bytes, bytes, int, bool]]:
    """Header, octets, offset in the whole and whether more follow, of each piece."""
    at = 0
    while at < len(body):
        header = first if at == 0 else later
        room = mtu - len(header)
        if room < 8:
            raise LocalError(f"an MTU of {mtu} has no room for a fragment")
        left = len(body) - at
        octets = left if left <= room else room & ~7
        yield header, body[at : at + octets], inner.fragment_offset + at, inner.more_fragments or octets < left
        at += octets


def _ipv4_piece(header: bytes, body: bytes, offset: int, more: bool) -> bytes:
    rebuilt = bytearray(header)
    rebuilt[0] = 4 << 4 | len(header) // 4
    return ipv4_with_length(rebuilt, len(body), (_MORE_V4 if more else 0) | offset >> 3) + body


def _ipv6_piece(at: int, header: bytes, body: bytes, offset: int, more: bool) -> bytes:
    rebuilt = bytearray(header)
    struct.pack_into("!H", rebuilt, 4, len(header) - IPV6_OCTETS + len(body))
    struct.pack_into("!H", rebuilt, at + 2, offset | (_MORE_V6 if more else 0))
    return bytes(rebuilt) + body


def ipv4_with_length(header: bytearray, body_octets: int, flags_and_offset: int) -> bytes:
    """The header of a packet with so many octets behind it, its checksum renewed."""
    header[2:4] = (len(header) + body_octets).to_bytes(2, "big")
    header[6:8] = flags_and_offset.to_bytes(2, "big")
    header[10:12] = bytes(2)
    header[10:12] = checksum(memoryview(header)).to_bytes(2, "big")
    return bytes(header)


def _copied_options(options: bytes) -> bytes:
    """The options that stand in every fragment, padded to whole words. Parsing has checked their lengths."""
    kept = bytearray()
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        octets = options[at + 1]
        if options[at] & _COPIED:
            kept += options[at : at + octets]
        at += octets
    return bytes(kept) + bytes(-len(kept) % 4)
