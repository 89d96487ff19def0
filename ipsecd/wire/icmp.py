"""ICMP errors (RFC 792, RFC 1191, RFC 4443): "too big" written, any error read.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Type      |     Code      |           Checksum            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   v4 type 3 code 4: unused    |   v4: MTU of the next hop     |  v6 type 2: MTU, four octets
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~         the offending packet, as much of it as fits           ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ipsecd.errors import WireError
from ipsecd.wire.checksum import checksum, pseudo_checksum
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS, IpPacket, ipv4_header, ipv6_header, parse, parse_quoted
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import IpProtocol

HEADER_OCTETS = 8
MAX_ERROR_V4 = 576  # RFC 1812 section 4.3.2.3: as much of the packet as fits
MAX_ERROR_V6 = 1_280  # RFC 4443 section 2.4 (c)
V4_UNREACHABLE, V4_NEEDS_FRAGMENTATION = 3, 4
V6_TOO_BIG = 2
_V4_ERRORS = (3, 4, 5, 11, 12)  # unreachable, source quench, redirect, time exceeded, parameter problem
V6_FIRST_INFORMATION = 128  # RFC 4443 section 2.1: types below are errors
_CONTROL_CLASS = 0xC0  # RFC 1812 section 4.3.2.5: errors have precedence 6


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP error and the packet it quotes. ``mtu`` is the next hop's, of a "too big" only; 0 if a router that
    doesn't know RFC 1191 sent it. ``shown`` holds the quoted packet's octets from its transport header on."""

    version: int
    type: int
    code: int
    mtu: int | None
    quoted: IpPacket
    shown: bytes


def too_big(offending: bytes, packet: IpPacket, mtu: int) -> bytes:
    """The ICMP error, IP header included, that tells the sender of ``offending`` (parsed: ``packet``) to send at most
    ``mtu`` octets. It comes from the packet's destination, as if that were the next hop. Whether an error may be sent
    about this packet at all (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)) is the caller's to know."""
    here, there = packet.destination, packet.source
    if isinstance(here, IPv4Address) and isinstance(there, IPv4Address):
        quote = offending[: min(packet.total_octets, MAX_ERROR_V4 - IPV4_OCTETS - HEADER_OCTETS)]
        body = struct.pack("!BBHHH", V4_UNREACHABLE, V4_NEEDS_FRAGMENTATION, 0, 0, mtu) + quote
        header = ipv4_header(here, there, IpProtocol.ICMP, len(body), dscp_ecn=_CONTROL_CLASS)
        return header + _with_checksum(body, 0)
    source, destination = IPv6Address(here.packed), IPv6Address(there.packed)
    quote = offending[: min(packet.total_octets, MAX_ERROR_V6 - IPV6_OCTETS - HEADER_OCTETS)]
    body = struct.pack("!BBHI", V6_TOO_BIG, 0, 0, mtu) + quote
    pseudo = pseudo_checksum(source, destination, IpProtocol.ICMPV6, len(body))
    return ipv6_header(source, destination, IpProtocol.ICMPV6, len(body)) + _with_checksum(body, pseudo)


def _with_checksum(body: bytes, pseudo: int) -> bytes:
    return body[:2] + checksum(body, pseudo).to_bytes(2, "big") + body[4:]


def parse_error(data: bytes) -> IcmpError:
    """The ICMP error in an IP packet.

    Raises WireError: those of ``ip.parse``; ``not-icmp-error`` for anything else; ``bad-checksum``.
    """
    packet = parse(data)
    icmp = IpProtocol.ICMP if packet.version == 4 else IpProtocol.ICMPV6
    if packet.protocol != icmp or packet.is_fragment:
        raise WireError("not-icmp-error", f"protocol {packet.protocol}", offset=packet.transport_offset)
    body = data[packet.transport_offset : packet.total_octets]
    pseudo = 0 if packet.version == 4 else pseudo_checksum(packet.source, packet.destination, icmp, len(body))
    if checksum(body, pseudo):
        raise WireError("bad-checksum", offset=packet.transport_offset)
    r = Reader(body, packet.transport_offset)
    kind, code, _, high, low = r.unpack("!BBHHH")
    if kind not in _V4_ERRORS if packet.version == 4 else kind >= V6_FIRST_INFORMATION:
        raise WireError("not-icmp-error", f"type {kind}", offset=packet.transport_offset)
    mtu = None
    if packet.version == 4 and (kind, code) == (V4_UNREACHABLE, V4_NEEDS_FRAGMENTATION):
        mtu = low
    elif packet.version == 6 and kind == V6_TOO_BIG:
        mtu = high << 16 | low
    quote = r.rest()
    quoted = parse_quoted(quote)
    return IcmpError(packet.version, kind, code, mtu, quoted, quote[quoted.transport_offset :])
