"""ICMP errors in transit (RFC 4301 section 6.2): one that no selector holds belongs to the flow it is about.

Errors are those that say a packet didn't arrive. A redirect says where to send the next one, which nobody far away has
to say, and a source quench is to be ignored by everyone (RFC 6633).
"""

from __future__ import annotations

from ipsecd.errors import WireError
from ipsecd.ipsec.selectors import Flow
from ipsecd.wire.icmp import parse_error
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol

_NOT_ARRIVED = {4: frozenset({3, 11, 12}), 6: frozenset({1, 2, 3, 4})}


def answered_flow(packet: bytes, inner: IpPacket) -> Flow | None:
    """The flow of answers to the packet that an ICMP error quotes; None if this is no sound error, or one that goes to
    somebody who didn't send that packet."""
    if inner.protocol not in (IpProtocol.ICMP, IpProtocol.ICMPV6):
        return None
    try:
        error = parse_error(packet)
    except WireError:
        return None
    if error.type not in _NOT_ARRIVED[inner.version]:
        return None
    quoted = error.quoted
    return Flow.of(quoted).answer() if quoted.source == inner.destination else None
