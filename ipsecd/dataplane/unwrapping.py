"""What a packet carries once it is known to be authentic and fresh, by the form of its SA.

In tunnel mode that is a packet. In transport mode it is what a packet's own headers carry: those are put in front again
as they came; of what came in UDP they are made anew, as the kernel has taken them off, with the addresses, ports apart,
that we saw it come from and go to.
"""

from __future__ import annotations

from typing import NamedTuple

from ipsecd.dataplane.tally import DROPS
from ipsecd.errors import PeerError, WireError
from ipsecd.ipsec import ah, outer
from ipsecd.ipsec.mending import mended
from ipsecd.ipsec.sa import InboundSa, Outside
from ipsecd.ipsec.transport import headed
from ipsecd.wire import ip
from ipsecd.wire.registry import IpProtocol

_PROTECTED = frozenset({IpProtocol.ESP, IpProtocol.AH})
INSIDE_ITSELF = frozenset({IpProtocol.IPV4, IpProtocol.IPV6})  # IP in IP, of a host itself in transport mode


class Came(NamedTuple):
    """How a packet came: ``front`` are the headers in front of AH and ESP, empty in UDP; ``tos`` is the TOS or traffic
    class octet of the outermost."""

    outside: Outside
    tos: int
    front: bytes = b""


class Inside(NamedTuple):
    """What is inside, and the sequence number it came under."""

    next_header: int
    payload: bytes
    number: int


def placed(packet: bytes) -> ah.Place:
    """Where AH or ESP stands in a native packet. PeerError: ``malformed-outer``, also for a fragment with ESP, and as
    ``named``."""
    try:
        place = ah.place(packet)
    except WireError as error:
        raise named(error) from None
    if place.protocol == IpProtocol.ESP and place.fragment:
        raise PeerError("malformed-outer", "a fragment")
    if place.protocol not in _PROTECTED:
        raise PeerError("not-ah", f"protocol {place.protocol}")
    return place


def with_ah(packet: bytes) -> ah.Received:
    """AH in a native packet. PeerError as ``named``."""
    try:
        return ah.receive(packet)
    except WireError as error:
        raise named(error) from None


def with_ah_in_udp(datagram: bytes, outside: Outside) -> ah.Received:
    """AH in a datagram, behind the header that it was signed with. PeerError as ``named``."""
    return with_ah(headed(outer.fixed(outside.remote, outside.local), IpProtocol.AH, len(datagram)) + datagram)


def named(error: WireError) -> PeerError:
    """What is wrong in front of what is protected, by its name among the drops."""
    if error.reason == "reserved-spi":
        return PeerError("unknown-spi")
    return error if error.reason in DROPS else PeerError("malformed-outer", str(error))


def rebuilt(sa: InboundSa, came: Came, inside: Inside) -> tuple[bytes, ip.IpPacket]:
    """The packet of transport mode, and the view of it. PeerError: ``nested`` for ESP or AH inside, ``malformed-inner``
    for what isn't a packet then, ``transport-fragment`` for a fragment."""
    next_header, payload, number = inside
    if came.front:
        front = headed(came.front, next_header, len(payload))
    else:
        outside = came.outside
        front = outer.front(outside.remote, outside.local, next_header, came.tos).of(len(payload), number)
    packet = front + payload
    try:
        view = ip.parse(packet)
    except WireError as error:
        raise PeerError("malformed-inner", str(error)) from None
    if view.is_fragment:
        raise PeerError("transport-fragment")
    if view.protocol in _PROTECTED:
        raise PeerError("nested", f"protocol {view.protocol}")
    if sa.form.original is not None and not came.front:
        packet = mended(packet, view, sa.form.original)
    return packet, view
