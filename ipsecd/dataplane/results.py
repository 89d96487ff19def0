"""What the roads hand back: datagrams for the network, packets for the TUN device, messages for the control side."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.dataplane.messages import HardExpired, Outside, SoftExpired, ToControl
from ipsecd.ipsec.lifetime import Lifetime


@dataclass(frozen=True, slots=True)
class Out:
    """Send this ESP packet as the payload of one UDP datagram. ``tos`` is the TOS or traffic class octet of the outer
    header; ``df`` says that no router, and not this host either, may fragment it. If the kernel says that it doesn't
    fit the link, the roads take ``packet``, the one inside, once more."""

    datagram: bytes
    outside: Outside
    tos: int
    df: bool
    packet: bytes


@dataclass(frozen=True, slots=True)
class ToTun:
    """Write this IP packet to the TUN device."""

    packet: bytes


Result = Out | ToTun | ToControl


def expiry(lifetime: Lifetime, inbound: int, now: float) -> SoftExpired | HardExpired | None:
    """The report of the limit that an SA has just reached, if any; ``inbound`` is the inbound SPI of its pair."""
    reached = lifetime.reached(now)
    if reached is None:
        return None
    return HardExpired(inbound, reached.reason) if reached.hard else SoftExpired(inbound, reached.reason)
