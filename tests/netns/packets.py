"""IP packets for tests, built by Scapy: an opinion that isn't ours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    fragment6,
)
from scapy.layers.l2 import GRE
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

FRAGMENT_OCTETS = 256
_IDENTIFICATIONS = itertools.count(0x2345)


def header(source: str, destination: str, hops: int = 64) -> Packet:
    if ":" in source:
        return IPv6(src=source, dst=destination, hlim=hops)
    return IP(src=source, dst=destination, ttl=hops)


def udp(source: str, destination: str, mark: bytes, sport: int = 4000, dport: int = 4001, hops: int = 64) -> bytes:
    """One UDP packet whose payload is the mark."""
    return bytes(header(source, destination, hops) / UDP(sport=sport, dport=dport) / mark)


def tcp(source: str, destination: str, mark: bytes, sport: int = 4000, dport: int = 4001, flags: str = "PA") -> bytes:
    """One TCP packet whose payload is the mark."""
    return bytes(header(source, destination) / TCP(sport=sport, dport=dport, flags=flags) / mark)


def ping(source: str, destination: str, mark: bytes) -> bytes:
    """One echo request whose payload is the mark."""
    if ":" in source:
        return bytes(header(source, destination) / ICMPv6EchoRequest(id=7, data=mark))
    return bytes(header(source, destination) / ICMP(id=7) / mark)


def sctp(source: str, destination: str, mark: bytes, sport: int = 4000, dport: int = 4001) -> bytes:
    """One SCTP packet whose payload is the mark."""
    return bytes(header(source, destination) / SCTP(sport=sport, dport=dport) / mark)


def gre(source: str, destination: str, mark: bytes) -> bytes:
    """One GRE packet, which has no ports, whose payload is the mark."""
    return bytes(header(source, destination) / GRE(proto=0x88B5) / mark)


_SPI_AND_NUMBER = b"\x12\x34\x56\x78\0\0\0\1"


def esp(source: str, destination: str, mark: bytes) -> bytes:
    """One native ESP packet, with the mark where its ciphertext would be."""
    return _carrying(source, destination, 50, _SPI_AND_NUMBER + mark)


def ah(source: str, destination: str, mark: bytes, sport: int = 4000, dport: int = 4001) -> bytes:
    """One native AH packet around TCP whose payload is the mark."""
    segment = tcp(source, destination, mark, sport, dport)[len(bytes(header(source, destination))) :]
    return _carrying(source, destination, 51, bytes([6, 4, 0, 0]) + _SPI_AND_NUMBER + b"<twelve oct>" + segment)


def _carrying(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    whole = header(source, destination)
    whole.setfieldval("nh" if ":" in source else "proto", protocol)
    return bytes(whole / Raw(payload))


def behind_options(packet: bytes) -> bytes:
    """An IPv6 packet with options for its destination, which do nothing, in front of what it carries."""
    whole = IPv6(packet[:40])
    return bytes(IPv6(src=whole.src, dst=whole.dst, nh=60) / IPv6ExtHdrDestOpt(nh=whole.nh) / Raw(packet[40:]))


def cut(packet: bytes) -> Sequence[bytes]:
    """A packet in several fragments; of IPv6 all but its fixed header is what is cut."""
    if packet[0] >> 4 == 4:
        whole = IP(packet)
        whole.id = next(_IDENTIFICATIONS)
        return [bytes(piece) for piece in fragment(whole, FRAGMENT_OCTETS)]  # type: ignore[no-untyped-call]
    fixed = IPv6(packet[:40])
    identified = IPv6ExtHdrFragment(id=next(_IDENTIFICATIONS), nh=fixed.nh)
    whole = IPv6(src=fixed.src, dst=fixed.dst) / identified / Raw(packet[40:])
    return [bytes(piece) for piece in fragment6(whole, FRAGMENT_OCTETS + 48)]  # type: ignore[no-untyped-call]


def time_exceeded(router: str, packet: bytes) -> bytes:
    """The error of a router about a packet, sent to where that came from."""
    if ":" in router:
        return bytes(IPv6(src=router, dst=IPv6(packet).src) / ICMPv6TimeExceeded() / packet)
    return bytes(IP(src=router, dst=IP(packet).src) / ICMP(type=11) / packet)


def fragments(source: str, destination: str, mark: bytes, sport: int = 4000, dport: int = 4001) -> Sequence[bytes]:
    """One UDP packet in at least four fragments, with the mark in each."""
    payload = UDP(sport=sport, dport=dport) / (mark * (4 * FRAGMENT_OCTETS // len(mark)))
    if ":" in source:
        whole = IPv6(src=source, dst=destination) / IPv6ExtHdrFragment(id=0x1234) / payload
        return [bytes(piece) for piece in fragment6(whole, FRAGMENT_OCTETS + 48)]  # type: ignore[no-untyped-call]
    return [bytes(piece) for piece in fragment(IP(src=source, dst=destination, id=0x1234) / payload, FRAGMENT_OCTETS)]  # type: ignore[no-untyped-call]


def halves(source: str, destination: str, first: bytes, second: bytes, dport: int = 4001) -> Sequence[bytes]:
    """One UDP packet in two fragments, a mark of eight octets in each."""
    payload = bytes(header(source, destination) / UDP(sport=4000, dport=dport) / (first + second))[-24:]
    pieces = [(0, 1, payload[:16]), (2, 0, payload[16:])]
    if ":" in source:
        ipv6 = IPv6(src=source, dst=destination)
        return [bytes(ipv6 / IPv6ExtHdrFragment(id=7, offset=at, m=more, nh=17) / data) for at, more, data in pieces]
    return [
        bytes(IP(src=source, dst=destination, id=7, flags=more, frag=at, proto=17) / data) for at, more, data in pieces
    ]


def too_big(router: str, packet: bytes, mtu: int) -> bytes:
    """A router's claim that a packet doesn't fit."""
    if ":" in router:
        return bytes(IPv6(src=router, dst=IPv6(packet).src) / ICMPv6PacketTooBig(mtu=mtu) / packet)
    return bytes(IP(src=router, dst=IP(packet).src) / ICMP(type=3, code=4, nexthopmtu=mtu) / packet)
