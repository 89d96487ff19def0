"""ICMP errors in transit (RFC 4301 section 6.2): one that no selector holds belongs to the flow it is about."""

from __future__ import annotations

from ipsecd.errors import WireError
from ipsecd.ipsec.selectors import Flow
from ipsecd.wire.icmp import parse_error
from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol


def answered_flow(packet: bytes, inner: IpPacket) -> Flow | None:
    """The flow of answers to the packet that an ICMP error quotes; None if this is no sound error, or one that goes to
    somebody who didn't send that packet."""
    if inner.protocol not in (IpProtocol.ICMP, IpProtocol.ICMPV6):
        return None
    try:
        quoted = parse_error(packet).quoted
    except WireError:
        return None
    return Flow.of(quoted).answer() if quoted.source == inner.destination else None
