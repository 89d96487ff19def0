"""Transport checksums of packets whose addresses a NAT has changed (RFC 3948 section 3.1.2).

TCP and UDP, and over IPv6 ICMP too, sum the addresses. In transport mode the sum is inside, where no NAT mends it, so
who receives does, by the difference between the addresses that were summed and those that stand there now.
"""

from __future__ import annotations

from ipsecd.wire.checksum import ones_sum, repair
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address

_FIELDS = {
    IpProtocol.TCP: 16,
    IpProtocol.UDP: 6,
    IpProtocol.UDPLITE: 6,
    IpProtocol.DCCP: 6,
    IpProtocol.ICMPV6: 2,
}
_OCTETS = 2


def mended(packet: bytes, view: IpPacket, original: tuple[Address, Address]) -> bytes:
    """The packet with the checksum that its addresses ask for; ``original`` are source and destination as its sender
    saw them. A UDP packet without a checksum stays without (RFC 768), and so does what is too short for one."""
    field = _FIELDS.get(IpProtocol(view.protocol))
    if field is None:
        return packet
    at = view.transport_offset + field
    old = int.from_bytes(packet[at : at + _OCTETS], "big")
    if at + _OCTETS > view.total_octets or (not old and view.protocol == IpProtocol.UDP):
        return packet
    new = repair(old, _sum(*original), _sum(view.source, view.destination))
    if not new and view.protocol == IpProtocol.UDP:
        new = 0xFFFF
    return packet[:at] + new.to_bytes(_OCTETS, "big") + packet[at + _OCTETS :]


def _sum(source: Address, destination: Address) -> int:
    return ones_sum(source.packed + destination.packed)
