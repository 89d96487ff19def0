"""IPv4 (RFC 791) and IPv6 (RFC 8200) packets: what policy asks of them, and headers of our own.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   4   |  IHL  | DSCP      |ECN|         Total Length          |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |         Identification        |0|D|M|     Fragment Offset     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Time to Live |    Protocol   |         Header Checksum       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      Source Address   |  Destination Address  |    Options    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   6   | DSCP      |ECN|              Flow Label               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |         Payload Length        |  Next Header  |   Hop Limit   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |    Source Address (16)    |    Destination Address (16)       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ipsecd.errors import LocalError, WireError
from ipsecd.wire.checksum import checksum, pseudo_checksum
from ipsecd.wire.ipv6_chain import walk
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address

__all__ = ["IpPacket", "checksum", "ipv4_header", "ipv6_header", "parse", "parse_quoted", "pseudo_checksum"]

IPV4_OCTETS = 20  # without options
IPV6_OCTETS = 40
MAX_PACKET = 65_535
_V4 = struct.Struct("!BBHHHBBH4s4s")
_V6 = struct.Struct("!IHBB16s16s")
_DONT_FRAGMENT = 0x4000
_MORE_FRAGMENTS = 0x2000
_OFFSET = 0x1FFF
_END_OF_OPTIONS, _NO_OPERATION = 0, 1

_OVERLAP_OFFSET = 8  # RFC 1858 section 3.2.2, RFC 3128: such a fragment rewrites the flags of a TCP header

# Upper layers that begin with source and destination port, and how many octets of each protocol show what we look at.
_WITH_PORTS = (IpProtocol.TCP, IpProtocol.UDP, IpProtocol.DCCP, IpProtocol.SCTP, IpProtocol.UDPLITE)
_VISIBLE: dict[int, int] = {IpProtocol.ICMP: 2, IpProtocol.ICMPV6: 2, IpProtocol.MOBILITY: 3}
_VISIBLE |= dict.fromkeys(_WITH_PORTS, 4)


@dataclass(frozen=True, slots=True)
class IpPacket:
    """What an IP packet says about itself. Sizes and offsets are octets from its start.

    ``header_octets`` counts IPv4 options, but no IPv6 extension headers; ``total_octets`` is what the header claims, at
    most the data's length. ``protocol`` and ``transport_offset`` are those of the upper layer behind the extension
    headers, or of the fragment's data. ``fragment_offset`` counts octets; ``fragment_header`` is where an IPv6 fragment
    header stands, 0 if there is none. IPv6 packets are never fragmented on the way, so ``dont_fragment`` is true for
    them.

    ``source_port`` and ``destination_port`` are None where the packet doesn't show ports: other protocols, and
    fragments other than the first. For ICMP and for the IPv6 mobility header ``destination_port`` holds
    type * 256 + code and type * 256 (RFC 4301 section 4.4.1.1) and ``source_port`` None.
    """

    version: int
    header_octets: int
    total_octets: int
    source: Address
    destination: Address
    protocol: int
    transport_offset: int
    ttl: int
    dscp_ecn: int
    dont_fragment: bool
    fragment_offset: int
    more_fragments: bool
    source_port: int | None
    destination_port: int | None
    fragment_header: int = 0

    @property
    def is_fragment(self) -> bool:
        return self.more_fragments or self.fragment_offset > 0


def parse(data: bytes | memoryview) -> IpPacket:
    """The IP packet at the start of ``data``; octets behind its total length are left alone (RFC 4303 section 2.7).

    Raises WireError: ``ip-version``, ``truncated``, ``bad-length``, ``bad-option``, ``bad-extension-header``,
    ``bad-fragment``, and ``tiny-fragment`` for a first fragment that hides its ports (RFC 3128).
    """
    return _parse(data, whole=True)


def parse_quoted(data: bytes | memoryview) -> IpPacket:
    """The beginning of an IP packet, as an ICMP error quotes it: what was cut off is not missed. ``total_octets`` may
    be more than there is, and ports None although the protocol has them. Raises WireError as ``parse``."""
    return _parse(data, whole=False)


def _parse(data: bytes | memoryview, *, whole: bool) -> IpPacket:
    version = data[0] >> 4 if len(data) else 0
    if version == 4:
        return _parse_v4(data, whole=whole)
    if version == 6:
        return _parse_v6(data, whole=whole)
    raise WireError("ip-version" if len(data) else "truncated", f"version {version}")


def _parse_v4(data: bytes | memoryview, *, whole: bool) -> IpPacket:
    if len(data) < IPV4_OCTETS:
        raise WireError("truncated", f"{len(data)} octets of IPv4", offset=len(data))
    first, tos, total, _, fragment, ttl, protocol, _, source, destination = _V4.unpack_from(data)
    header = (first & 15) * 4
    if not IPV4_OCTETS <= header <= total:
        raise WireError("bad-length", f"header {header}, total {total}")
    if header > len(data) or (whole and total > len(data)):
        raise WireError("truncated", f"{len(data)} of {total} octets", offset=len(data))
    if header > IPV4_OCTETS:
        _check_options(Reader(memoryview(data)[IPV4_OCTETS:header], IPV4_OCTETS))
    offset, more = (fragment & _OFFSET) * 8, bool(fragment & _MORE_FRAGMENTS)
    _check_fragment(protocol, offset, total - header, more=more)
    return IpPacket(
        4,
        header,
        total,
        IPv4Address(source),
        IPv4Address(destination),
        protocol,
        header,
        ttl,
        tos,
        bool(fragment & _DONT_FRAGMENT),
        offset,
        more,
        *(_ports(data, protocol, header, total, whole=whole, fragment=more) if offset == 0 else (None, None)),
    )


def _check_options(r: Reader) -> None:
    """Options have a length of their own (RFC 791 section 3.1); each must lie inside the header."""
    while r.remaining:
        kind = r.u8()
        if kind == _END_OF_OPTIONS:
            r.rest()
        elif kind != _NO_OPERATION:
            length = r.u8() if r.remaining else 0
            if not 2 <= length <= r.remaining + 2:
                raise WireError("bad-option", f"option {kind} of {length} octets", offset=r.offset)
            r.take(length - 2)


def _parse_v6(data: bytes | memoryview, *, whole: bool) -> IpPacket:
    if len(data) < IPV6_OCTETS:
        raise WireError("truncated", f"{len(data)} octets of IPv6", offset=len(data))
    first, payload, following, hops, source, destination = _V6.unpack_from(data)
    total = IPV6_OCTETS + payload
    if whole and total > len(data):
        raise WireError("truncated", f"{len(data)} of {total} octets", offset=len(data))
    chain = walk(following, Reader(memoryview(data)[IPV6_OCTETS:total], IPV6_OCTETS), whole=whole)
    offset, more = chain.fragment_offset, chain.more_fragments
    _check_fragment(chain.protocol, offset, total - chain.offset, more=more)
    return IpPacket(
        6,
        IPV6_OCTETS,
        total,
        IPv6Address(source),
        IPv6Address(destination),
        chain.protocol,
        chain.offset,
        hops,
        first >> 20 & 0xFF,
        True,
        offset,
        more,
        *(
            _ports(data, chain.protocol, chain.offset, total, whole=whole, fragment=more)
            if offset == 0
            else (None, None)
        ),
        chain.fragment_header,
    )


def _check_fragment(protocol: int, offset: int, octets: int, *, more: bool) -> None:
    """All fragments but the last carry a multiple of eight octets, and none reaches beyond the largest packet."""
    if more and (octets % 8 or not octets):
        raise WireError("bad-fragment", f"{octets} octets, more to follow")
    if offset and offset + octets > MAX_PACKET:
        raise WireError("bad-fragment", f"{octets} octets at {offset}")
    if offset == _OVERLAP_OFFSET and protocol == IpProtocol.TCP:
        raise WireError("tiny-fragment", "it would overlap a TCP header")


def _ports(
    data: bytes | memoryview, protocol: int, start: int, end: int, *, whole: bool, fragment: bool
) -> tuple[int | None, int | None]:
    """Source and destination port of the upper layer at ``start``, as IpPacket describes them."""
    needed = _VISIBLE.get(protocol, 0)
    shown = bytes(data[start : min(start + needed, end)])
    if len(shown) < needed:
        if whole:
            raise WireError("tiny-fragment" if fragment else "truncated", "no room for ports", offset=start)
        return None, None
    if protocol in _WITH_PORTS:
        return shown[0] << 8 | shown[1], shown[2] << 8 | shown[3]
    if protocol == IpProtocol.MOBILITY:
        return None, shown[2] << 8
    return (None, shown[0] << 8 | shown[1]) if needed else (None, None)


def ipv4_header(
    source: IPv4Address,
    destination: IPv4Address,
    protocol: int,
    payload_octets: int,
    *,
    ttl: int = 64,
    dscp_ecn: int = 0,
    identification: int = 0,
    dont_fragment: bool = False,
) -> bytes:
    """A header of 20 octets with its checksum. Raises LocalError if a value doesn't fit its field."""
    total = IPV4_OCTETS + payload_octets
    fragment = _DONT_FRAGMENT if dont_fragment else 0
    try:
        fields = (0x45, dscp_ecn, total, identification, fragment, ttl, protocol)
        header = _V4.pack(*fields, 0, source.packed, destination.packed)
    except struct.error as error:
        raise LocalError(f"an IPv4 header can't say {fields}") from error
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:]


def ipv6_header(
    source: IPv6Address,
    destination: IPv6Address,
    next_header: int,
    payload_octets: int,
    *,
    hop_limit: int = 64,
    dscp_ecn: int = 0,
    flow_label: int = 0,
) -> bytes:
    """A header of 40 octets. Raises LocalError if a value doesn't fit its field."""
    fits = 0 <= dscp_ecn <= 0xFF and 0 <= flow_label <= 0xFFFFF
    fields = (6 << 28 | dscp_ecn << 20 | flow_label if fits else -1, payload_octets, next_header, hop_limit)
    try:
        return _V6.pack(*fields, source.packed, destination.packed)
    except struct.error as error:
        raise LocalError(f"an IPv6 header can't say {(dscp_ecn, flow_label, *fields[1:])}") from error
