"""Inner packets for tests, with right lengths and checksums."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from ipsecd.wire.checksum import checksum, pseudo_checksum

TCP, UDP, ICMP, ICMPV6, FRAGMENT = 6, 17, 1, 58, 44


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    body: bytes,
    *,
    tos: int = 0,
    df: bool = False,
    more: bool = False,
    offset: int = 0,
    ttl: int = 64,
    identification: int = 0x1234,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet; ``offset`` counts octets."""
    header = bytearray(20) + options
    first = 4 << 4 | len(header) // 4
    flags = (0x4000 if df else 0) | (0x2000 if more else 0) | offset // 8
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    total = len(header) + len(body)
    struct.pack_into("!BBHHHBBH8s", header, 0, first, tos, total, identification, flags, ttl, protocol, 0, addresses)
    struct.pack_into("!H", header, 10, checksum(bytes(header)))
    return bytes(header) + body


def ipv6(source: str, destination: str, next_header: int, body: bytes, *, tos: int = 0, label: int = 0xABCDE) -> bytes:
    """An IPv6 packet; extension headers stand at the start of ``body``."""
    first = 6 << 28 | tos << 20 | label
    header = struct.pack("!IHBB", first, len(body), next_header, 64)
    return header + IPv6Address(source).packed + IPv6Address(destination).packed + body


def chained(source: str, destination: str, *headers: tuple[int, str], last: int = UDP, body: bytes = b"") -> bytes:
    """An IPv6 packet with these extension headers, each its kind and, in hexadecimal, what follows its first octet."""
    kinds = [*(kind for kind, _ in headers), last]
    extensions = b"".join(
        bytes([kind]) + bytes.fromhex(rest) for kind, (_, rest) in zip(kinds[1:], headers, strict=True)
    )
    return ipv6(source, destination, kinds[0], extensions + body)


def packet(source: str, destination: str, protocol: int, body: bytes, *, tos: int = 0, df: bool = False) -> bytes:
    """A packet of the addresses' version; DF is IPv4's."""
    if ip_address(source).version == 6:
        return ipv6(source, destination, protocol, body, tos=tos)
    return ipv4(source, destination, protocol, body, tos=tos, df=df)


def _summed(source: str, destination: str, protocol: int, body: bytes, at: int) -> bytes:
    pseudo = pseudo_checksum(ip_address(source), ip_address(destination), protocol, len(body))
    return body[:at] + checksum(body, pseudo).to_bytes(2, "big") + body[at + 2 :]


def udp(
    source: str,
    destination: str,
    source_port: int = 1_000,
    destination_port: int = 2_000,
    data: bytes = b"hello",
    *,
    tos: int = 0,
    df: bool = False,
) -> bytes:
    """A UDP packet of the addresses' version."""
    body = struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0) + data
    return packet(source, destination, UDP, _summed(source, destination, UDP, body, 6), tos=tos, df=df)


def sized(source: str, destination: str, octets: int, *, df: bool = False) -> bytes:
    """A UDP packet of exactly so many octets."""
    header = 48 if ip_address(source).version == 6 else 28
    return udp(source, destination, data=bytes(octets - header), df=df)


def syn(source: str, destination: str, mss: int, *, flags: int = 0x02) -> bytes:
    """A TCP segment with an MSS option, a SYN unless told."""
    options = struct.pack("!BBHBB", 2, 4, mss, 1, 0) + bytes(2)
    body = struct.pack("!HHIIBBHHH", 40_000, 80, 1, 0, (20 + len(options)) // 4 << 4, flags, 65_535, 0, 0) + options
    return packet(source, destination, TCP, _summed(source, destination, TCP, body, 16))


def echo(source: str, destination: str, kind: int | None = None, data: bytes = b"ping") -> bytes:
    """An ICMP echo request of the addresses' version, or another type."""
    if ip_address(source).version == 6:
        body = struct.pack("!BBHHH", 128 if kind is None else kind, 0, 0, 7, 1) + data
        return ipv6(source, destination, ICMPV6, _summed(source, destination, ICMPV6, body, 2))
    body = struct.pack("!BBHHH", 8 if kind is None else kind, 0, 0, 7, 1) + data
    return ipv4(source, destination, ICMP, body[:2] + checksum(body).to_bytes(2, "big") + body[4:])


def error(router: str, about: bytes, *, kind: int | None = None, to: str = "") -> bytes:
    """An ICMP "unreachable" from a router about a packet, to its sender unless told."""
    version = about[0] >> 4
    sender = to or str(ip_address(about[12:16] if version == 4 else about[8:24]))
    if version == 6:
        body = struct.pack("!BBHI", 1 if kind is None else kind, 0, 0, 0) + about
        return ipv6(router, sender, ICMPV6, _summed(router, sender, ICMPV6, body, 2))
    body = struct.pack("!BBHI", 3 if kind is None else kind, 1, 0, 0) + about
    return ipv4(router, sender, ICMP, body[:2] + checksum(body).to_bytes(2, "big") + body[4:])
