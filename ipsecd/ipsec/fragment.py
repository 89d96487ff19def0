"""Fragments of inner IPv4 packets, made before ESP (RFC 4301 section 8.2.1 case 2; RFC 791 section 3.2)."""

from __future__ import annotations

import struct

from ipsecd.errors import LocalError
from ipsecd.wire.checksum import checksum
from ipsecd.wire.ip import IPV4_OCTETS, IpPacket

_COPIED = 0x80  # RFC 791 section 3.1: the option stands in every fragment
_END, _NO_OPERATION = 0, 1
_MORE_FRAGMENTS = 0x2000


def fragments(packet: bytes, inner: IpPacket, mtu: int) -> list[bytes]:
    """The packet in pieces of at most ``mtu`` octets, in order. A piece of a fragment keeps its place in the whole.

    LocalError for a packet that must not be fragmented, or an ``mtu`` without room for a header and 8 octets.
    """
    if inner.dont_fragment:
        raise LocalError("this packet must not be fragmented")
    first_header = packet[: inner.header_octets]
    later_header = first_header[:IPV4_OCTETS] + _copied_options(first_header[IPV4_OCTETS:])
    body = packet[inner.header_octets : inner.total_octets]
    pieces: list[bytes] = []
    offset = 0
    while offset < len(body):
        header = first_header if offset == 0 else later_header
        room = mtu - len(header)
        if room < 8:
            raise LocalError(f"an MTU of {mtu} has no room for a fragment")
        left = len(body) - offset
        octets = left if left <= room else room & ~7
        more = inner.more_fragments or octets < left
        pieces.append(_piece(header, body[offset : offset + octets], inner.fragment_offset + offset, more=more))
        offset += octets
    return pieces


def _piece(header: bytes, body: bytes, offset: int, *, more: bool) -> bytes:
    rebuilt = bytearray(header)
    rebuilt[0] = 4 << 4 | len(header) // 4
    struct.pack_into("!H", rebuilt, 2, len(header) + len(body))
    struct.pack_into("!H", rebuilt, 6, (_MORE_FRAGMENTS if more else 0) | offset >> 3)
    struct.pack_into("!H", rebuilt, 10, 0)
    struct.pack_into("!H", rebuilt, 10, checksum(memoryview(rebuilt)))
    return bytes(rebuilt) + body


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
