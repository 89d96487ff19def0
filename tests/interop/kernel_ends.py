"""Our end of an SA with the kernel, made of nothing but the modules that know ESP and AH: no socket, no daemon."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from ipsecd.ipsec import ah, ah_packets, esp
from ipsecd.ipsec.sa import InboundSa, OutboundSa
from ipsecd.ipsec.transport import Split, headed, split
from ipsecd.ipsec.tunnel import inner_packet
from ipsecd.wire import ip
from ipsecd.wire.esp import decode_header
from ipsecd.wire.registry import IpProtocol


class End(Protocol):
    """Protects what we send, and takes the protection off what the kernel sends, after checking it."""

    def seal(self, packet: bytes) -> bytes: ...

    def open(self, packet: bytes) -> bytes: ...


@dataclass(frozen=True)
class Mode:
    """Transport, unless there are addresses of a tunnel, ours and theirs."""

    ours: str = ""
    theirs: str = ""

    def apart(self, packet: bytes) -> Split:
        """The headers in front of AH or ESP, and what stands behind it."""
        if not self.ours:
            return split(packet, ip.parse(packet))
        protocol = IpProtocol.IPV4 if packet[0] >> 4 == 4 else IpProtocol.IPV6
        ours, theirs = ip_address(self.ours), ip_address(self.theirs)
        if isinstance(ours, IPv4Address) and isinstance(theirs, IPv4Address):
            return Split(ip.ipv4_header(ours, theirs, 0, 0), protocol, packet)
        assert isinstance(ours, IPv6Address)
        assert isinstance(theirs, IPv6Address)
        return Split(ip.ipv6_header(ours, theirs, 0, 0), protocol, packet)

    def together(self, front: bytes, next_header: int, payload: bytes) -> bytes:
        """What was inside a packet, or the packet without AH or ESP."""
        if not self.ours:
            return headed(front, next_header, len(payload)) + payload
        outer = ip.parse(headed(front, IpProtocol.NO_NEXT, 0))
        assert (str(outer.source), str(outer.destination)) == (self.theirs, self.ours)
        packet, _ = inner_packet(next_header, payload)
        return packet


@dataclass(frozen=True)
class EspEnd:
    mode: Mode
    outbound: OutboundSa
    inbound: InboundSa

    def seal(self, packet: bytes) -> bytes:
        front, next_header, payload = self.mode.apart(packet)
        sealed, _ = esp.seal(self.outbound, _next(self.outbound), next_header, payload, os.urandom)
        return headed(front, IpProtocol.ESP, len(sealed)) + sealed

    def open(self, packet: bytes) -> bytes:
        outer = ip.parse(packet)
        assert outer.protocol == IpProtocol.ESP
        place = outer.transport_offset
        sealed = packet[place : outer.total_octets]
        header = decode_header(sealed)
        assert header.spi == self.inbound.spi
        opened = esp.open_(self.inbound, sealed, header.sequence)
        return self.mode.together(packet[:place], opened.next_header, opened.payload)


@dataclass(frozen=True)
class AhEnd:
    mode: Mode
    outbound: OutboundSa
    inbound: InboundSa

    def seal(self, packet: bytes) -> bytes:
        return ah_packets.seal(self.outbound, _next(self.outbound), *self.mode.apart(packet))

    def open(self, packet: bytes) -> bytes:
        received = ah.receive(packet)
        assert received.header.spi == self.inbound.spi
        ah_packets.check(self.inbound, received)
        return self.mode.together(packet[: received.start], received.header.next_header, received.payload)


def _next(sa: OutboundSa) -> int:
    number = sa.take(1)
    assert number is not None
    return number
