"""What a TUN device leaves to us, and takes from us: big packets to be cut, checksums to be finished.

With IFF_VNET_HDR a header stands before each packet (virtio 1.2 section 5.1.6, struct virtio_net_hdr of
linux/virtio_net.h), ten octets in the machine's own order::

    | flags (1) | gso type (1) | header octets (2) | segment octets (2) | checksum start (2) | checksum offset (2) |

A packet with a gso type stands for several: its payload in pieces of ``segment`` octets, each behind a copy of its
headers. ``segments`` cuts it as the kernel would, one packet after the other; ``dataplane`` does the same for all of
them at once, and is held to this.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from ipsecd.errors import WireError
from ipsecd.wire.checksum import checksum, ones_sum
from ipsecd.wire.tcp import CWR, FIN, FLAGS_AT, PSH

OCTETS = 10
NEEDS_CHECKSUM = 1  # the field holds the sum of the pseudo header, and the rest is to be added
_HEADER = struct.Struct("=BBHHHH")
_U16, _TWO_U16, _U32 = struct.Struct("!H"), struct.Struct("!HH"), struct.Struct("!I")
_CONGESTION = 0x80  # VIRTIO_NET_HDR_GSO_ECN: the first segment carries CWR

_TCP_OCTETS, _UDP_OCTETS = 20, 8
_TCP_CHECKSUM, _UDP_CHECKSUM = 16, 6
_REMEMBERED = 256  # headers; those of one flow and one size are all alike
_LAST = FIN | PSH  # which only the last of several shows, as only the first shows CWR


class Gso(IntEnum):
    """What a big packet is cut into."""

    NONE = 0
    TCP4 = 1
    UDP = 3  # fragments, which nobody offers any more
    TCP6 = 4
    UDP_DATAGRAMS = 5


_VERSIONS: dict[int, tuple[int, ...]] = {Gso.TCP4: (4,), Gso.TCP6: (6,), Gso.UDP_DATAGRAMS: (4, 6)}


@dataclass(frozen=True, slots=True)
class Offload:
    """One virtio header. ``start`` and ``offset`` place a checksum that is to be finished: it covers all from ``start``
    on and stands ``offset`` octets behind it."""

    flags: int = 0
    gso: int = Gso.NONE
    header: int = 0
    segment: int = 0
    start: int = 0
    offset: int = 0

    def encode(self) -> bytes:
        return _HEADER.pack(self.flags, self.gso, self.header, self.segment, self.start, self.offset)

    @property
    def unfinished(self) -> bool:
        """Whether a checksum is to be finished."""
        return bool(self.flags & NEEDS_CHECKSUM)


def decode(data: bytes | bytearray | memoryview) -> Offload:
    """The header at the start of ``data``. WireError("truncated")."""
    return _decode(bytes(data[:OCTETS]))


@lru_cache(maxsize=_REMEMBERED)
def _decode(data: bytes) -> Offload:
    if len(data) < OCTETS:
        raise WireError("truncated", f"{len(data)} octets of virtio header", offset=len(data))
    flags, gso, header, segment, start, offset = _HEADER.unpack_from(data)
    return Offload(flags, gso & ~_CONGESTION, header, segment, start, offset)


class Cut(NamedTuple):
    """How a big packet falls apart. ``transport`` and ``header`` count octets from its start to TCP or UDP, and to the
    payload; ``full`` segments have ``segment`` octets of payload each, then one has ``tail``, if that isn't 0.
    ``pseudo`` is the sum of the pseudo header but for its length: what the kernel knows of the last address on the way
    stands in the big packet alone."""

    version: int
    tcp: bool
    transport: int
    header: int
    segment: int
    full: int
    tail: int
    pseudo: int

    @property
    def checksum(self) -> int:
        """Where the checksum stands."""
        return self.transport + (_TCP_CHECKSUM if self.tcp else _UDP_CHECKSUM)

    @property
    def pieces(self) -> int:
        """How many segments there are in all."""
        return self.full + bool(self.tail)


def plan(packet: bytes | memoryview, offload: Offload) -> Cut:
    """How this big packet is to be cut. WireError("bad-offload") if it isn't what its virtio header says."""
    version = packet[0] >> 4 if len(packet) else 0
    if version not in _VERSIONS.get(offload.gso, ()):
        raise WireError("bad-offload", f"gso {offload.gso} of IP version {version}")
    tcp = offload.gso != Gso.UDP_DATAGRAMS
    start = offload.start
    least = (20 if version == 4 else 40, _TCP_OCTETS if tcp else _UDP_OCTETS)
    if start < least[0] or len(packet) < start + least[1] or not offload.segment or not offload.unfinished:
        raise WireError("bad-offload", f"{len(packet)} octets, transport at {start}, segments of {offload.segment}")
    if offload.offset != (_TCP_CHECKSUM if tcp else _UDP_CHECKSUM):
        raise WireError("bad-offload", f"a checksum {offload.offset} octets behind that")
    header = start + ((packet[start + 12] >> 4) * 4 if tcp else _UDP_OCTETS)
    if header < start + least[1] or header >= len(packet):
        raise WireError("bad-offload", f"no payload behind {header} octets of headers")
    full, tail = divmod(len(packet) - header, offload.segment)
    (unfinished,) = struct.unpack_from("!H", packet, start + offload.offset)
    pseudo = (unfinished - (len(packet) - start)) % 0xFFFF
    return Cut(version, tcp, start, header, offload.segment, full, tail, pseudo)


def finish(packet: bytearray | memoryview, offload: Offload) -> None:
    """Finish a packet's checksum in place, if it needs that. WireError("bad-offload") if the field isn't in it."""
    if not offload.unfinished:
        return
    field = offload.start + offload.offset
    if field + 2 > len(packet):
        raise WireError("bad-offload", f"a checksum at {field} of {len(packet)} octets")
    total = 0xFFFF ^ ones_sum(memoryview(packet)[offload.start :])  # the field's own sum of the pseudo header is in it
    packet[field : field + 2] = (total or 0xFFFF).to_bytes(2, "big")  # 0 would say "none" in UDP (RFC 768)


def segments(packet: bytes | memoryview, offload: Offload) -> list[bytes]:
    """The packets that this one stands for, their checksums finished: itself, or its segments in order. WireError."""
    if offload.gso == Gso.NONE:
        whole = bytearray(packet)
        finish(whole, offload)
        return [bytes(whole)]
    cut = plan(packet, offload)
    return [segment(packet, cut, index) for index in range(cut.pieces)]


def segment(packet: bytes | memoryview, cut: Cut, index: int) -> bytes:
    """One of the segments, counted from 0."""
    version, tcp, transport, header, size, _, _, pseudo = cut
    at, field = header + index * size, cut.checksum
    piece = bytearray(packet[:header]) + packet[at : at + size]
    octets = len(piece)
    if version == 4:
        (identification,) = _U16.unpack_from(piece, 4)
        _TWO_U16.pack_into(piece, 2, octets, identification + index & 0xFFFF)
        piece[10:12] = b"\0\0"
        _U16.pack_into(piece, 10, checksum(bytes(piece[:transport])))
    else:
        _U16.pack_into(piece, 4, octets - 40)
    if tcp:
        (sequence,) = _U32.unpack_from(piece, transport + 4)
        _U32.pack_into(piece, transport + 4, sequence + index * size & 0xFFFF_FFFF)
        last = index == cut.pieces - 1
        piece[transport + FLAGS_AT] &= 0xFF ^ (0 if last else _LAST) ^ (CWR if index else 0)
    else:
        _U16.pack_into(piece, transport + 4, octets - transport)
    piece[field : field + 2] = b"\0\0"
    total = checksum(memoryview(piece)[transport:], pseudo + octets - transport)
    _U16.pack_into(piece, field, total or (0 if tcp else 0xFFFF))
    return bytes(piece)


def pseudo_sum(packet: bytes | bytearray | memoryview, version: int, protocol: int, octets: int) -> int:
    """The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) of a packet whose addresses are the
    last it passes on its way."""
    addresses = packet[12:20] if version == 4 else packet[8:40]
    return ones_sum(bytes(addresses) + octets.to_bytes(4, "big") + protocol.to_bytes(4, "big"))
