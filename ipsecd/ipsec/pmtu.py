"""Path MTUs to peers (RFC 4301 section 8.2) and what they leave for the packets inside.

The kernel knows what the link towards a peer carries, and is believed. Nobody vouches for an ICMP error on the outside,
so by those a path is never taken for narrower than the floor of its family, and what was learned is forgotten after a
while and may be learned anew.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from ipsecd import limits
from ipsecd.crypto.ah_mac import AhMac
from ipsecd.ipsec.esp import largest_payload
from ipsecd.ipsec.sa import InboundSa, OutboundSa
from ipsecd.wire.ah import header_octets
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address

Value = TypeVar("Value")

_ESP = IpProtocol.ESP
_UDP_HEADER = 8
_IP_HEADER = {4: 20, 6: 40}
_TCP_HEADER = 20
_EVERY_LINK = {4: 68, 6: 1_280}
_LEAST_MSS = 28  # what an IPv4 link of 68 octets leaves
_FLOOR = {4: limits.PMTU_FLOOR_V4, 6: limits.PMTU_FLOOR_V6}


class PathMtus:
    """What is known of the path to each outer address, in octets of the outer IP packet. ``age`` is for how many
    seconds an ICMP error counts."""

    def __init__(self, age: float = limits.PMTU_AGE) -> None:
        self._age = age
        self._links: OrderedDict[Address, int] = OrderedDict()
        self._learned: OrderedDict[Address, tuple[int, float]] = OrderedDict()

    def link(self, remote: Address, mtu: int) -> None:
        """The kernel says what the link towards ``remote`` carries. That holds until it says something else."""
        _keep(self._links, remote, mtu)

    def learn(self, remote: Address, mtu: int, now: float) -> None:
        """Someone says that no packet over ``mtu`` octets gets through. It only ever lowers a path; with time the
        path rises again by itself (RFC 4301 section 8.2.2)."""
        mtu = max(mtu, _FLOOR[remote.version])
        if mtu <= self.to(remote, now):
            _keep(self._learned, remote, (mtu, now + self._age))

    def to(self, remote: Address, now: float) -> int:
        """The path MTU to this address."""
        link = self._links.get(remote, limits.LINK_MTU)
        mtu, until = self._learned.get(remote, (link, now))
        return min(mtu, link) if now < until else link


def outer_octets(datagram: int, outer_version: int) -> int:
    """The size of the IP packet that carries a UDP datagram with so many octets of payload."""
    return datagram + _UDP_HEADER + _IP_HEADER[outer_version]


def room(sa: OutboundSa | InboundSa, path_mtu: int, front: int = 0) -> int:
    """The largest packet that leaves by this SA as one of at most ``path_mtu`` octets; below zero if none does. In
    transport mode it has ``front`` octets of headers ahead of the place where AH or ESP goes, an IP header without
    options unless told. These leave as they are, but in UDP, where the kernel writes a header of its own."""
    outside, transport = sa.outside, sa.form.transport
    version, native = outside.remote.version, outside.native
    plain = _IP_HEADER[version]
    front = front or plain
    left = path_mtu - (front if native and transport else plain)
    if not native:
        left -= _UDP_HEADER
    if sa.around is not None:
        left -= _ah_octets(sa.around.mac, version)
    inside = largest_payload(sa.cipher, left) if sa.protocol is _ESP else left - _ah_octets(sa.mac, version)
    return inside + front if transport else inside


def _ah_octets(mac: AhMac, version: int) -> int:
    return header_octets(mac.iv_octets + mac.icv_octets, version)


def least(inner: IpPacket) -> int:
    """The size of packet that every link of the inner IP version carries (RFC 791 section 3.2, RFC 8200 section 5):
    a tunnel has to as well, in outer fragments where the path is that narrow (RFC 2473 section 7.1)."""
    return _EVERY_LINK[inner.version]


def tcp_mss(mtu: int, version: int) -> int:
    """The largest TCP segment in an IP packet of ``mtu`` octets, neither header with options (RFC 9293 3.7.1)."""
    return max(mtu - _IP_HEADER[version] - _TCP_HEADER, _LEAST_MSS)


def _keep(known: OrderedDict[Address, Value], remote: Address, value: Value) -> None:
    known[remote] = value
    known.move_to_end(remote)
    if len(known) > limits.MAX_PATHS:
        known.popitem(last=False)
