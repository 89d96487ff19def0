"""What makes a packet that came in plain, and of which flow a plain packet is, in a form to be looked up.

Plain are whole packets of TCP, UDP and ICMP echo, without options, extension headers or anything behind them, and no
SYN, as the segment size in those is looked at. Whether a plain packet may pass depends on its flow and its SA alone.
"""

from __future__ import annotations

import struct

from ipsecd.wire.ip import IPV4_OCTETS
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import FLAGS_AT, SYN

Key = tuple[int, int, bytes]
"""SPI, protocol, and both addresses with what the transport shows of the flow: ports, or ICMP's type and code."""

_PORTS = 4
_V4 = struct.Struct("!BxHxxHxB2x12s")  # version, length, fragment, protocol, addresses and ports
_V6 = struct.Struct("!IHBx36s")  # version, length, next header, addresses and ports
_FRAGMENT = 0x3FFF
_NOTHING = 0, b""
_INSIDE_V4, _INSIDE_V6 = IpProtocol.IPV4.value, IpProtocol.IPV6.value
_TCP, _UDP = IpProtocol.TCP.value, IpProtocol.UDP.value
_LEAST_V4, _LEAST_V6 = 28, 48  # octets with a UDP header, or with that of an echo
_FLAGS_V4, _FLAGS_V6 = 20 + FLAGS_AT, 40 + FLAGS_AT
_UDP_OCTETS = 8
_REST_OF_TCP = 12  # octets that its header has more than UDP's, without options
_ECHOES = {
    IpProtocol.ICMP.value: (b"\x08\x00", b"\x00\x00"),  # RFC 792
    IpProtocol.ICMPV6.value: (b"\x80\x00", b"\x81\x00"),  # RFC 4443 section 4
}


def known_as(spi: int, next_header: int, packet: memoryview) -> Key | None:
    """The flow of a packet that came with this SPI and this next header; None if it isn't plain."""
    if next_header == _INSIDE_V4:
        protocol, ends = _shown_v4(packet)
        flags, least = _FLAGS_V4, _LEAST_V4
    elif next_header == _INSIDE_V6:
        protocol, ends = _shown_v6(packet)
        flags, least = _FLAGS_V6, _LEAST_V6
    else:
        return None
    if protocol == _TCP:
        plain = len(packet) >= least + _REST_OF_TCP and not packet[flags] & SYN
    elif protocol == _UDP:
        plain = True
    else:
        plain, ends = ends[-4:-2] in _ECHOES.get(protocol, ()), ends[:-2]
    return (spi, protocol, ends) if plain else None


def known_behind(spi: int, protocol: int, addresses: bytes, payload: memoryview) -> Key | None:
    """The flow of a packet in transport mode, of which its IP header is missing: these are its ``addresses``, and
    options and extension headers it has none. None if it isn't plain."""
    size, shown = len(payload), bytes(payload[:_PORTS])
    if protocol == _TCP:
        plain = size >= _UDP_OCTETS + _REST_OF_TCP and not payload[FLAGS_AT] & SYN
    elif protocol == _UDP:
        plain = size >= _UDP_OCTETS
    else:
        shown = shown[:2]
        plain = size >= _UDP_OCTETS and shown in _ECHOES.get(protocol, ())
    return (spi, protocol, addresses + shown) if plain else None


def known_within(spi: int, protocol: int, head: int, packet: memoryview) -> Key | None:
    """Likewise of a packet whose IP header, the first ``head`` octets, has come."""
    ends = packet[12:20] if head == IPV4_OCTETS else packet[8:40]
    return known_behind(spi, protocol, bytes(ends), packet[head:])


def _shown_v4(packet: memoryview) -> tuple[int, bytes]:
    """Protocol and ends; protocol 0, which counts as not plain, if the header alone isn't."""
    size = len(packet)
    if size < _LEAST_V4:
        return _NOTHING
    first, octets, fragment, protocol, ends = _V4.unpack_from(packet)
    return (protocol, ends) if first == 0x45 and octets == size and not fragment & _FRAGMENT else _NOTHING


def _shown_v6(packet: memoryview) -> tuple[int, bytes]:
    size = len(packet)
    if size < _LEAST_V6:
        return _NOTHING
    first, octets, protocol, ends = _V6.unpack_from(packet)
    return (protocol, ends) if first >> 28 == 6 and octets + 40 == size else _NOTHING
