"""ICMP "too big" to hosts whose packets don't fit in the tunnel (RFC 1191, RFC 4443 section 3.2).

The error seems to come from the packet's own destination: the kernel drops one that claims to come from ourselves.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address

from ipsecd import limits
from ipsecd.ratelimit import RateLimit
from ipsecd.wire.icmp import too_big
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address

_BROADCAST = IPv4Address(0xFFFF_FFFF)
_V4_QUERIES = frozenset({0, 8, 9, 10, 13, 14, 15, 16, 17, 18})  # RFC 1122 section 3.2.2: all other types are errors
_V6_INFORMATION = 128  # RFC 4443 section 2.1: types below are errors


class TooBig:
    """Writes the errors, at most so many a second (RFC 4443 section 2.4 (f)), and to each host a few of these, so that
    none keeps the others from being told."""

    def __init__(self) -> None:
        self._limit = RateLimit(limits.TOO_BIG_RATE, limits.TOO_BIG_BURST)
        self._hosts: OrderedDict[Address, RateLimit] = OrderedDict()

    def answer(self, packet: bytes, inner: IpPacket, mtu: int, now: float) -> bytes | None:
        """The error about a packet, IP header included; None if none may be sent, or none more now."""
        if not may_be_answered(inner) or not self._host(inner.source).take(now) or not self._limit.take(now):
            return None
        return too_big(packet, inner, mtu)

    def _host(self, address: Address) -> RateLimit:
        limit = self._hosts.get(address)
        if limit is None:
            limit = self._hosts[address] = RateLimit(limits.TOO_BIG_HOST_RATE, limits.TOO_BIG_HOST_BURST)
            if len(self._hosts) > limits.TOO_BIG_HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(address)
        return limit


def may_be_answered(packet: IpPacket) -> bool:
    """Whether an ICMP error may be sent about this packet: not about an error or a fragment other than the first, not
    to what is no single host (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)), nor, as it would seem to come from
    there, about a packet to a group of hosts."""
    source, destination = packet.source, packet.destination
    if packet.fragment_offset or source.is_unspecified or source.is_loopback:
        return False
    if any(address.is_multicast or address == _BROADCAST for address in (source, destination)):
        return False
    return not _is_icmp_error(packet)


def _is_icmp_error(packet: IpPacket) -> bool:
    if packet.destination_port is None:
        return False
    kind = packet.destination_port >> 8
    if packet.version == 4:
        return packet.protocol == IpProtocol.ICMP and kind not in _V4_QUERIES
    return packet.protocol == IpProtocol.ICMPV6 and kind < _V6_INFORMATION
