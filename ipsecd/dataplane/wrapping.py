"""What leaves in place of a packet, by the form of its SA. Ahead of the packet, or of what its own headers carry::

    ESP            | ESP header ...                     in UDP: the kernel writes the headers in front
    AH             | AH ...                             in UDP, signed with a header that isn't sent
    native         | IP header | AH or ESP ...          the packet's own in transport mode, else one of ours
    AH around ESP  | ... AH | ESP header ...            RFC 2401 section 4.3

Native packets that are too large for the path are cut here, as no UDP socket does it (RFC 4303 section 3.3.4).
"""

from __future__ import annotations

from typing import NamedTuple

from ipsecd.errors import Refused
from ipsecd.ipsec import ah_packets, esp, outer
from ipsecd.ipsec.fragment import fragments, with_fragment_header
from ipsecd.ipsec.hiding import padded
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.transport import headed, split
from ipsecd.ipsec.tunnel import AS_INNER, OuterHeader
from ipsecd.wire import ip
from ipsecd.wire.registry import IpProtocol

_LEAST_FRAGMENT = 16  # the header of an IPv6 fragment, and 8 octets
_DONT_FRAGMENT = 0x40  # of the octet with the flags
_AH, _NO_NEXT = IpProtocol.AH, IpProtocol.NO_NEXT
NEXT_HEADER = {4: IpProtocol.IPV4, 6: IpProtocol.IPV6}


class Outer(NamedTuple):
    """TOS or traffic class octet, and whether nobody may cut the packet on its way."""

    tos: int
    dont_fragment: bool


class Wrapped(NamedTuple):
    """A packet ready to leave: with its IP header, of which ``front`` octets stand in every fragment, or what goes in
    UDP. ``octets`` the SA has encrypted or signed, ``signed`` the AH around it."""

    datagram: bytes
    front: int
    octets: int
    signed: int = 0


def outer_of(sa: OutboundSa, header: OuterHeader, inner: ip.IpPacket, *, may_fragment: bool) -> Outer:
    """What the headers outside say. In transport mode there is nothing to choose: they are the packet's."""
    if sa.form.transport:
        header = AS_INNER
    return Outer(header.tos(inner), header.dont_fragment(inner) and not may_fragment)


def outer_of_dummy(sa: OutboundSa, header: OuterHeader) -> Outer:
    """The same of what carries nothing: as if it carried what says nothing special, and may not be cut."""
    if sa.form.transport:
        header = AS_INNER
    return Outer((header.dscp or 0) << 2, header.df != "clear")


def wrap(
    sa: OutboundSa,
    number: int,
    around: int,
    packet: bytes,
    inner: ip.IpPacket,
    says: Outer,
    most: int,
    iv_source: esp.IvSource,
) -> Wrapped:
    """Seal one packet under this number, and that of the AH ``around`` it; ``most`` is how large one fits the path.
    Raises Refused and WireError as ``transport.split`` and ``ah.seal`` do."""
    own, next_header, payload = split(packet, inner) if sa.form.transport else (b"", NEXT_HEADER[inner.version], packet)
    if sa.protocol is _AH:
        front = _front(sa, number, own, says)
        signed = ah_packets.seal(sa, number, front, next_header, payload)
        return Wrapped(_sent(sa, signed, front), len(front), len(signed))
    if sa.tfc.padding:
        payload = padded(sa, next_header, payload, len(own), most)
    return _wrap_esp(sa, number, around, own, says, *esp.seal(sa, number, next_header, payload, iv_source))


def wrap_dummy(sa: OutboundSa, number: int, around: int, octets: int, says: Outer, iv_source: esp.IvSource) -> Wrapped:
    """The same for a packet that carries nothing, in so many octets (RFC 4303 section 2.6)."""
    return _wrap_esp(sa, number, around, b"", says, *esp.seal(sa, number, _NO_NEXT, bytes(octets), iv_source))


def _wrap_esp(sa: OutboundSa, number: int, around: int, own: bytes, says: Outer, sealed: bytes, octets: int) -> Wrapped:
    if sa.around is None and not sa.outside.native:
        return Wrapped(sealed, 0, octets)
    front = _front(sa, number, own, says)
    if sa.around is None:
        return Wrapped(headed(front, IpProtocol.ESP, len(sealed)) + sealed, len(front), octets)
    signed = ah_packets.seal(sa.around, around, front, IpProtocol.ESP, sealed)
    return Wrapped(_sent(sa, signed, front), len(front), octets, len(signed))


def pieces(wrapped: Wrapped, path_mtu: int, id_source: esp.IvSource) -> list[bytes]:
    """A native packet as the path takes it. An IPv6 packet that is cut gets an identification that nobody can predict
    (RFC 7739). Refused("too-big") if headers leave no room for a fragment."""
    datagram = wrapped.datagram
    if len(datagram) <= path_mtu:
        return [datagram]
    if wrapped.front + _LEAST_FRAGMENT > path_mtu:
        raise Refused("too-big")
    if datagram[0] >> 4 == 6:
        datagram = with_fragment_header(datagram, wrapped.front, int.from_bytes(id_source(4), "big"))
    return fragments(datagram, ip.parse(datagram), path_mtu)


def _front(sa: OutboundSa, number: int, own: bytes, says: Outer) -> bytes:
    """The headers that AH or ESP goes behind; ``own`` are the packet's in transport mode, which a dummy hasn't."""
    outside = sa.outside
    if not outside.native:
        return outer.fixed(outside.local, outside.remote)
    if own:
        return _own(own, number, says)
    return outer.header(
        outside.local,
        outside.remote,
        tos=says.tos,
        identification=outer.identification(number),
        dont_fragment=says.dont_fragment,
    )


def _sent(sa: OutboundSa, signed: bytes, front: bytes) -> bytes:
    return signed if sa.outside.native else signed[len(front) :]


def _own(front: bytes, number: int, says: Outer) -> bytes:
    """The packet's own headers. What may be cut needs an Identification, and the kernel would write one where there is
    none, though AH has signed it (RFC 6864 section 4.1)."""
    if front[0] >> 4 == 6 or says.dont_fragment:
        return front
    rebuilt = bytearray(front)
    if rebuilt[4:6] == b"\0\0":
        rebuilt[4:6] = outer.identification(number).to_bytes(2, "big")
    rebuilt[6] &= ~_DONT_FRAGMENT
    return bytes(rebuilt)
