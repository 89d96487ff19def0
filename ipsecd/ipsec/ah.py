"""Packets with an authentication header (RFC 4302): signed, and checked, in either mode.

What the ICV covers, in the order in which it is computed::

    headers in front of AH, without what may change on the way   ah_ipv4.py, ah_ipv6.py
    AH, with zeros for the ICV                                   section 3.3.3
    all behind AH, as it is
    the high half of an extended sequence number                 section 3.3.3.2.2

In transport mode the headers in front are the packet's own (``transport.split``), in tunnel mode those of a packet
around it. Which algorithm computes the ICV is the caller's business: it hands in the function, as sequence numbers and
the replay window are its business too.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ipsecd.errors import LocalError, PeerError, WireError
from ipsecd.ipsec import ah_ipv4, ah_ipv6
from ipsecd.ipsec.transport import headed
from ipsecd.wire import ip
from ipsecd.wire.ah import FIXED_OCTETS, AhHeader, decode_header, header_octets
from ipsecd.wire.registry import IpProtocol

_LOW = 0xFFFF_FFFF
_PLAIN_V4 = 0x45  # without options
_OURS = (int(IpProtocol.AH), int(IpProtocol.ESP))
_FRAGMENT_BITS = 0x3F  # of the octet with the flags: more fragments, and the offset


class Icv(Protocol):
    """Computes an ICV over parts in order, as ``crypto.mac.Mac.icv`` does."""

    def __call__(self, *parts: bytes | memoryview) -> bytes: ...


class Verify(Protocol):
    """Whether an ICV is that of the parts in order, in constant time, as ``crypto.mac.Mac.verify`` does."""

    def __call__(self, icv: bytes | memoryview, *parts: bytes | memoryview) -> bool: ...


class Received(NamedTuple):
    """A packet with AH, nothing of which is known to be true yet. ``start`` and ``end`` are where AH begins and what it
    protects. ``packet`` has nothing behind its total length."""

    packet: bytes
    header: AhHeader
    start: int
    end: int

    def iv(self, octets: int) -> bytes:
        """What stands in front of the ICV."""
        return self.packet[self.start + FIXED_OCTETS : self.start + FIXED_OCTETS + octets]

    @property
    def payload(self) -> bytes:
        """What stands behind AH: a packet of ``header.next_header`` in tunnel mode."""
        return self.packet[self.end :]

    def without_ah(self) -> bytes:
        """The packet as it was before AH went in, in transport mode."""
        payload = self.payload
        return headed(self.packet[: self.start], self.header.next_header, len(payload)) + payload


def seal(
    front: bytes,
    next_header: int,
    payload: bytes,
    spi: int,
    sequence: int,
    high: bytes,
    icv_octets: int,
    icv: Icv,
    iv: bytes = b"",
) -> bytes:
    """The packet that carries ``payload`` behind the headers of ``front``, whose lengths, protocol and checksum are
    made right. ``high`` is the upper half of an extended ``sequence``, else empty; an ``iv`` stands in front of the ICV
    (RFC 4543 section 4).

    Refused("too-big") if no packet is so large; WireError, as ``covered`` of the version raises it, for headers that
    break its rules; LocalError for an ICV of another length than ``icv_octets``.
    """
    version = front[0] >> 4
    header = AhHeader(next_header, header_octets(len(iv) + icv_octets, version), spi, sequence & _LOW)
    start = header.encode() + iv
    padding = bytes(header.octets - len(start) - icv_octets)
    front = headed(front, IpProtocol.AH, header.octets + len(payload))
    ahead = _covered(front, version, sending=True) + start + bytes(icv_octets) + padding
    value = icv(*_parts(ahead, payload, high))
    if len(value) != icv_octets:
        raise LocalError(f"an ICV of {len(value)} octets where {icv_octets} belong")
    return b"".join((front, start, value, padding, payload))


class Place(NamedTuple):
    """Where AH, ESP or another upper layer begins, and where the packet ends; whether it is a fragment."""

    protocol: int
    start: int
    total: int
    fragment: bool = False


def receive(packet: bytes) -> Received:
    """Find AH in a packet. Raises WireError: what ``ip.parse`` and ``decode_header`` raise, ``ah-fragment`` for a
    fragment (section 3.4.1), ``not-ah`` for another protocol."""
    protocol, start, total, fragment = place(packet)
    if fragment:
        raise WireError("ah-fragment", offset=start)
    if protocol != IpProtocol.AH:
        raise WireError("not-ah", f"protocol {protocol}", offset=start)
    if total < len(packet):
        packet = packet[:total]
    header = decode_header(memoryview(packet)[start:])
    return Received(packet, header, start, start + header.octets)


def place(packet: bytes) -> Place:
    """Where the upper layer stands; WireError as ``ip.parse`` raises it. Nearly all packets have neither options nor
    extension headers; it's looked for these first, as the view of a packet takes longer than its ICV."""
    if len(packet) >= ip.IPV6_OCTETS:
        if packet[0] == _PLAIN_V4 and packet[9] in _OURS and not (packet[6] & _FRAGMENT_BITS or packet[7]):
            total = packet[2] << 8 | packet[3]
            if ip.IPV4_OCTETS <= total <= len(packet):
                return Place(packet[9], ip.IPV4_OCTETS, total)
        elif packet[0] >> 4 == 6 and packet[6] in _OURS:
            total = ip.IPV6_OCTETS + (packet[4] << 8 | packet[5])
            if total <= len(packet):
                return Place(packet[6], ip.IPV6_OCTETS, total)
    outer = ip.parse(packet)
    return Place(outer.protocol, outer.transport_offset, outer.total_octets, outer.is_fragment)


def check(received: Received, high: bytes, icv_octets: int, verify: Verify, iv_octets: int = 0) -> None:
    """Raise PeerError unless the packet is authentic: ``bad-icv``, ``ah-length`` if AH isn't as long as IV and ICV make
    it, or what ``covered`` of the version raises for headers that break its rules."""
    packet, header, start, end = received
    version = packet[0] >> 4
    if header.octets != header_octets(iv_octets + icv_octets, version):
        raise PeerError("ah-length", f"{header.octets} octets with an ICV of {icv_octets}")
    value = start + FIXED_OCTETS + iv_octets
    padding = value + icv_octets
    ahead = _covered(packet[:start], version, sending=False)
    ahead += packet[start:value] + bytes(icv_octets) + packet[padding:end]
    if not verify(packet[value:padding], *_parts(ahead, memoryview(packet)[end:], high)):
        raise PeerError("bad-icv")


def _covered(headers: bytes, version: int, *, sending: bool) -> bytearray:
    covered = ah_ipv4.covered if version == 4 else ah_ipv6.covered
    return covered(headers, sending=sending)


def _parts(ahead: bytearray, payload: bytes | memoryview, high: bytes) -> tuple[bytes | memoryview, ...]:
    return (bytes(ahead), payload, high) if high else (bytes(ahead), payload)
