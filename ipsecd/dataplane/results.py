"""What the roads hand back: datagrams for the network, packets for the TUN device, messages for the control side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ipsecd.dataplane.messages import HardExpired, Outside, SoftExpired, ToControl
from ipsecd.ipsec.lifetime import Lifetime


class Out(NamedTuple):
    """Send this datagram: ESP, or AH and what it protects, as the payload of one UDP datagram, or if ``outside`` is
    native a whole IP packet, its header included. ``tos`` is the TOS or traffic class octet of the outer header; ``df``
    says that no router, and not this host either, may fragment it. If the kernel says that it doesn't fit the link, the
    roads take ``packet``, the one inside, once more; nothing if another fragment stands for it."""

    datagram: bytes
    outside: Outside
    tos: int
    df: bool
    packet: bytes

    @property
    def octets(self) -> int:
        return len(self.datagram)

    def packets(self) -> list[bytes]:
        return [self.packet] if self.packet else []


class OutRun(NamedTuple):
    """Send these ESP packets as the payloads of as many datagrams, or if ``outside`` is native these IP packets. They
    stand one behind the other, ``octets`` each but for the last, which may have less; the roads use their buffer again
    for the next run. ``packets`` gives those inside, and everything else is as in ``Out``."""

    datagrams: memoryview
    octets: int
    outside: Outside
    tos: int
    df: bool
    packets: Callable[[], list[bytes]]


class ToTun(NamedTuple):
    """Write this IP packet to the TUN device. The roads use their buffer again for what comes next, so whoever keeps a
    packet that is a view of it has to copy that; likewise the ``payloads``."""

    packet: bytes | memoryview


class ToTunRun(NamedTuple):
    """Write these TCP or UDP packets of one flow to the TUN device as one, which the kernel takes apart where it has
    to: the virtio header that says how, the headers, and the payload of each."""

    head: bytes
    header: bytes
    payloads: Sequence[bytes | memoryview]


Result = Out | OutRun | ToTun | ToTunRun | ToControl


def expiry(lifetime: Lifetime, inbound: int, now: float) -> SoftExpired | HardExpired | None:
    """The report of the limit that an SA has just reached, if any; ``inbound`` is the inbound SPI of its pair."""
    reached = lifetime.reached(now)
    if reached is None:
        return None
    return HardExpired(inbound, reached.reason) if reached.hard else SoftExpired(inbound, reached.reason)
