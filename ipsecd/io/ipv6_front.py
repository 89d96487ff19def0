"""The headers in front of what an IPv6 raw socket reads, which the kernel tells only beside it (RFC 3542).

A raw socket of IPv6 gives what stands behind the last extension header. The source is the sender's address; the rest is
ancillary data, in the order of the packet: destination, hop limit, traffic class and flow label, and each hop-by-hop,
destination and routing header, whole. Each of them names the next one, so it shows if one is missing. A fragment header
is never told: that of a packet in one piece stays in its place, and to AH it is as if it weren't there (RFC 4302
appendix A2), so what stands in front of it names what stands behind it here.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import NamedTuple

# linux/in6.h; what Python's socket module doesn't name
IPV6_FLOWINFO = 11

_OPTIONS = (
    socket.IPV6_RECVPKTINFO,
    socket.IPV6_RECVHOPLIMIT,
    IPV6_FLOWINFO,
    socket.IPV6_RECVHOPOPTS,
    socket.IPV6_RECVRTHDR,
    socket.IPV6_RECVDSTOPTS,
)
_EXTENSIONS = {
    socket.IPV6_HOPOPTS: socket.IPPROTO_HOPOPTS,
    socket.IPV6_RTHDR: socket.IPPROTO_ROUTING,
    socket.IPV6_DSTOPTS: socket.IPPROTO_DSTOPTS,
}
_FIXED = struct.Struct("!IHBB16s16s")
_VERSION = 6 << 28
_NEXT_HEADER = 6
_PAYLOAD_LENGTH = struct.Struct("!H")
_PAYLOAD_LENGTH_AT = 4


class Front(NamedTuple):
    """The headers, whose payload length counts themselves alone: ``with_payload`` counts the rest. Not ``complete``:
    some header isn't told, and none but the fixed one is here."""

    headers: bytes
    destination: IPv6Address
    complete: bool


def ask_for_headers(opened: socket.socket) -> None:
    """Have the kernel tell them."""
    for option in _OPTIONS:
        opened.setsockopt(socket.IPPROTO_IPV6, option, 1)


def front(
    source: IPv6Address, protocol: int, ancillary: Iterable[tuple[int, int, bytes]], *, truncated: bool
) -> Front | None:
    """The headers in front of ``protocol``; None if not even the destination is told. ``truncated``: some of the
    ancillary data is lost."""
    ours = [(kind, data) for level, kind, data in ancillary if level == socket.IPPROTO_IPV6]
    told = dict(ours)
    if (destination := told.get(socket.IPV6_PKTINFO, b"")[:16]) == b"":
        return None
    flow = int.from_bytes(told.get(IPV6_FLOWINFO, b""), "big")
    hop_limit = int.from_bytes(told.get(socket.IPV6_HOPLIMIT, b""), sys.byteorder)
    extensions = [(_EXTENSIONS[kind], data) for kind, data in ours if kind in _EXTENSIONS]
    fixed = _FIXED.pack(_VERSION | flow, 0, protocol, hop_limit, source.packed, destination)
    chained = None if truncated else _chained(fixed, extensions, protocol)
    return Front(fixed if chained is None else chained, IPv6Address(destination), chained is not None)


def with_payload(headers: bytes, payload: bytes | memoryview) -> bytes:
    """The packet."""
    return b"".join((in_front_of(len(payload), headers), payload))


def in_front_of(octets: int, headers: bytes) -> bytes:
    """The headers of a payload of so many octets."""
    packed = _PAYLOAD_LENGTH.pack(len(headers) - _FIXED.size + octets)
    return b"".join((headers[:_PAYLOAD_LENGTH_AT], packed, headers[_PAYLOAD_LENGTH_AT + len(packed) :]))


def _chained(fixed: bytes, extensions: list[tuple[int, bytes]], protocol: int) -> bytes | None:
    """One behind the other; None if one doesn't name the next."""
    whole = bytearray(fixed)
    named_at = _NEXT_HEADER
    for kind, data in extensions:
        if len(whole) > _FIXED.size and whole[named_at] not in (kind, socket.IPPROTO_FRAGMENT):
            return None
        whole[named_at] = kind
        named_at = len(whole)
        whole += data
    if extensions and whole[named_at] not in (protocol, socket.IPPROTO_FRAGMENT):
        return None
    whole[named_at] = protocol
    return bytes(whole)
