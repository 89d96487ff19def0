"""AH packets of one SA and one length, signed as rows of one buffer that leaves in one call, or without UDP, each with
its IP header in front, in one call for each (RFC 4302).

Nothing is hidden, so packets are written where they leave from, and of each all that the ICV covers is one view::

    | IP header, with zeros for what may change | AH, with zeros for the ICV | payload |

What may change is put back once the ICVs are known. In UDP the header isn't there: it is the same for all packets of a
run, and goes into the MAC ahead of them. ``columns`` writes the rest, all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import INDEX, MOST, Octets, column, matrix
from ipsecd.dataplane.heading import Own, cover, covered, head_each
from ipsecd.dataplane.layouts import LAYOUTS, ROOM, RUN_OCTETS, Layout, most_of
from ipsecd.dataplane.ways import Size, Way, header_of
from ipsecd.errors import LocalError
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.ah import FIXED_OCTETS, AhHeader, header_octets
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS
from ipsecd.wire.registry import IpProtocol

_LOW = 0xFFFF_FFFF
_NUMBER_AT = 8  # where AH has the low half of the sequence number
_UNSENT = {4: IPV4_OCTETS, 6: IPV6_OCTETS}

Column = npt.NDArray[Any]


@dataclass(slots=True, eq=False)
class _AhLayout(Layout):
    """``heads`` are the IP headers of ``datagrams``, empty in UDP; ``headers`` all of AH, and of that ``numbers`` the
    low halves of sequence numbers, ``ivs`` and ``icvs``. ``signed`` are the datagrams one by one."""

    heads: Octets
    headers: Column
    numbers: Column
    ivs: Column | None
    icvs: Column
    signed: list[memoryview]


class Signer:
    """The buffers of the way out for AH."""

    def __init__(self) -> None:
        self._out = np.zeros(ROOM + RUN_OCTETS, np.uint8)  # a last packet fits behind any run
        self._kept = lru_cache(maxsize=LAYOUTS)(self._lay_out)
        self._layout: _AhLayout | None = None
        self._header: Column = np.zeros(1)  # of all its packets, but for sequence number, IV and ICV

    def size(self, way: Way, octets: int) -> Size:
        """``around`` is the start of AH, up to the sequence number."""
        sa, inside, version = way.sa, octets - way.ahead, way.sa.outside.remote.version
        header = AhHeader(way.next_header, header_octets(sa.mac.iv_octets + sa.mac.icv_octets, version), sa.spi, 0)
        behind = header.octets + inside
        signed, sent = (way.head or _UNSENT[version]) + behind, way.head + behind
        return Size(inside, header.encode()[:_NUMBER_AT], signed, sent, most_of(sent))

    def layout(self, way: Way, size: Size) -> Layout:
        mac = way.sa.mac
        self._layout = self._kept(size.inside, size.sent, mac.iv_octets, mac.icv_octets, way.head, way.ahead)
        header = size.around.ljust(self._layout.headers.itemsize, b"\0")
        self._header = np.frombuffer(header, self._layout.headers.dtype)
        return self._layout

    def seal(self, way: Way, first: int, count: int, last: bytes = b"") -> memoryview:
        layout, sa = self._layout, way.sa
        if layout is None:
            raise LocalError("nothing is laid out")
        numbers, ahead = range(first, first + count), b""
        layout.headers[:count] = self._header
        layout.numbers[:count] = INDEX[:count] + first & _LOW
        if layout.ivs is not None:
            layout.ivs[:count] = INDEX[:count] + first
        if way.front is not None and way.head:
            head_each(layout.datagrams[:count], way.front, first)
        elif way.front is not None:
            ahead = covered(way.front.of(layout.octets, 0))
        heads = layout.heads[:count]
        real = heads.copy()
        cover(heads)
        icvs = sa.mac.icvs(_ivs(sa, numbers), ahead, layout.signed, _highs(sa, numbers))
        layout.icvs[:count] = np.frombuffer(b"".join(icvs), layout.icvs.dtype)
        heads[:] = real
        out, end = self._out.data, count * layout.octets
        out[end : end + len(last)] = last
        return out[: end + len(last)]

    def seal_each(self, way: Way, size: Size, first: int, packets: Sequence[bytes]) -> list[bytes]:
        sa, ahead, around = way.sa, way.ahead, size.around
        mac, high, iv_octets, sent = sa.mac, sa.high, sa.mac.iv_octets, bool(way.head)
        octets = size.sent - way.head
        head = size.counted - octets
        value = head + FIXED_OCTETS + iv_octets  # where the ICV stands in what is signed
        behind = value + mac.icv_octets
        blank = bytes(size.counted - size.inside - value)
        datagrams, iv = [], b""
        for number, packet in enumerate(packets, first):
            header = header_of(way, packet, octets, number)
            if iv_octets:
                iv = number.to_bytes(iv_octets, "big")
            start = around + (number & _LOW).to_bytes(4, "big") + iv
            signed = b"".join((covered(header), start, blank, packet[ahead:]))
            icv = mac.icv(iv, signed, high(number))
            parts = signed[head:value], icv, signed[behind:]
            datagrams.append(b"".join((header, *parts) if sent else parts))
        return datagrams

    def _lay_out(self, inner: int, octets: int, iv_octets: int, icv_octets: int, head: int, ahead: int) -> _AhLayout:
        most, start, iv = min(ROOM // octets, MOST), octets - inner, head + FIXED_OCTETS
        datagrams, out = matrix(self._out, most, octets), self._out.data
        return _AhLayout(
            inner,
            octets,
            most,
            most_of(octets),
            datagrams[:, start:],
            Own(datagrams[:, :head], IpProtocol.AH, octets) if head and ahead else None,
            datagrams,
            datagrams[:, :head],
            column(datagrams, head, f"V{start - head}"),
            column(datagrams, head + _NUMBER_AT, ">u4"),
            column(datagrams, iv, ">u8") if iv_octets else None,
            column(datagrams, iv + iv_octets, f"V{icv_octets}"),
            [out[at : at + octets] for at in range(0, most * octets, octets)],
        )


def _ivs(sa: OutboundSa, numbers: range) -> list[bytes]:
    """The IVs of packets with these sequence numbers, which they are themselves."""
    octets = sa.mac.iv_octets
    return [number.to_bytes(octets, "big") for number in numbers] if octets else [b""] * len(numbers)


def _highs(sa: OutboundSa, numbers: range) -> list[bytes]:
    return list(map(sa.high, numbers)) if sa.esn else [b""] * len(numbers)
