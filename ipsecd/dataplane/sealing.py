"""ESP packets of one SA and one length, sealed as rows of one buffer that leaves in one call (RFC 4303, RFC 4106), or
without UDP, each with its IP header in front, in one call for each.

Buffers are allocated once, and the AEAD seals from row to row. What stays the same from run to run, the trailers of a
layout and the salt of a key, is written when another one takes its turn. Few packets cost less one by one: those are
sealed by ``seal_each``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import INDEX, MOST, column, matrix
from ipsecd.dataplane.heading import Own, head_each
from ipsecd.dataplane.layouts import LAYOUTS, ROOM, RUN_OCTETS, Layout, most_of
from ipsecd.dataplane.ways import Size, Way, header_of
from ipsecd.errors import LocalError
from ipsecd.wire.esp import HEADER_OCTETS, trailer
from ipsecd.wire.registry import IpProtocol

_NONCE, _SALT, _IV, _EXTENDED = 12, 4, 8, 12
_LOW = 0xFFFF_FFFF
_WORD = 4  # octets; rows end on a multiple of so many, as checksums are summed by words

_BEGIN = struct.Struct("!IIQ")  # SPI, low half of the sequence number, IV
_trailer = lru_cache(maxsize=LAYOUTS)(trailer)

Column = npt.NDArray[np.uint64]


@dataclass(slots=True, eq=False)
class _EspLayout(Layout):
    """``rows`` have a ``trailer`` behind. ``fronts`` are the SPIs and sequence numbers of ``datagrams``, ``ivs`` what
    follows. The AEAD seals ``plain`` into ``sealed``, and authenticates ``headers`` too."""

    trailer: bytes
    fronts: Column
    ivs: Column
    plain: list[memoryview]
    headers: list[memoryview]
    sealed: list[memoryview]


class Sealer:
    """The buffers of the way out for ESP."""

    def __init__(self) -> None:
        self._plain = np.zeros(ROOM + _WORD, np.uint8)
        self._out = np.zeros(ROOM + RUN_OCTETS, np.uint8)  # a last packet fits behind any run
        self._nonces = np.zeros((MOST, _NONCE), np.uint8)
        self._extended = np.zeros((MOST, _EXTENDED), np.uint8)  # SPI and a whole sequence number, to be authenticated
        self._nonce_views = [row.data for row in self._nonces]
        self._extended_views = [row.data for row in self._extended]
        self._nonce_numbers = column(self._nonces, _SALT, ">u8")
        self._extended_numbers = column(self._extended, 4, ">u8")
        self._salt = bytes(_SALT)  # in all nonces now
        self._kept = lru_cache(maxsize=LAYOUTS)(self._lay_out)
        self._layout: _EspLayout | None = None  # whose trailers stand behind all rows now

    def size(self, way: Way, octets: int) -> Size:
        cipher, inside = way.sa.cipher, octets - way.ahead
        behind = _trailer(inside % cipher.align, cipher.align, way.next_header)
        encrypted = inside + len(behind)
        sent = way.head + HEADER_OCTETS + cipher.iv_octets + encrypted + cipher.icv_octets
        return Size(inside, behind, encrypted, sent, most_of(sent))

    def layout(self, way: Way, size: Size) -> Layout:
        cipher = way.sa.cipher
        layout = self._kept(size, cipher.iv_octets, way.head, way.ahead)
        if layout is not self._layout:
            layout.rows[:, layout.inner :] = np.frombuffer(layout.trailer, np.uint8)
            self._layout = layout
        return layout

    def seal(self, way: Way, first: int, count: int, last: bytes = b"") -> memoryview:
        layout, sa, cipher = self._layout, way.sa, way.sa.run
        if layout is None or cipher is None:
            raise LocalError("nothing is laid out, or this SA seals no runs")
        numbers = INDEX[:count] + first
        low = first & _LOW
        if low + count <= _LOW:
            layout.fronts[:count] = INDEX[:count] + (sa.spi << 32 | low)
        else:
            layout.fronts[:count] = numbers & _LOW | sa.spi << 32
        layout.ivs[:count] = numbers
        self._nonce_numbers[:count] = numbers
        if self._salt != cipher.salt:
            self._nonces[:, :_SALT] = np.frombuffer(cipher.salt, np.uint8)
            self._salt = cipher.salt
        headers = layout.headers
        if sa.esn:
            column(self._extended, 0, ">u4")[:count] = sa.spi
            self._extended_numbers[:count] = numbers
            headers = self._extended_views
        cipher.seal(self._nonce_views[:count], layout.plain, headers, layout.sealed)
        if way.front is not None:
            head_each(layout.datagrams[:count], way.front, first)
        out, end = self._out.data, count * layout.octets
        out[end : end + len(last)] = last
        return out[: end + len(last)]

    def seal_each(self, way: Way, size: Size, first: int, packets: Sequence[bytes]) -> list[bytes]:
        sa, ahead, head, trailer = way.sa, way.ahead, way.head, size.around
        cipher, spi, esn = sa.run, sa.spi, sa.esn
        if cipher is None:
            raise LocalError("this SA seals no runs")
        seal = cipher.seal_one
        datagrams = []
        for number, packet in enumerate(packets, first):
            begin = _BEGIN.pack(spi, number & _LOW, number)
            header = begin[:HEADER_OCTETS]
            if esn:
                header = header[:4] + begin[HEADER_OCTETS:]
            inside = packet[ahead:] + trailer if ahead else packet + trailer
            datagram = begin + seal(begin[HEADER_OCTETS:], inside, header)
            datagrams.append(header_of(way, packet, len(datagram), number) + datagram if head else datagram)
        return datagrams

    def _lay_out(self, size: Size, iv_octets: int, head: int, ahead: int) -> _EspLayout:
        inner, behind, encrypted, octets, fit = size
        start = HEADER_OCTETS + iv_octets
        most = min(ROOM // octets, MOST)
        out, inside = self._out.data, self._plain.data
        rows = range(-inner % _WORD, ROOM, encrypted)[:most]
        starts = range(head, most * octets, octets)
        datagrams = matrix(self._out, most, octets)
        return _EspLayout(
            inner,
            octets,
            most,
            fit,
            matrix(self._plain, most, encrypted, at=rows.start),
            Own(datagrams[:, :head], IpProtocol.ESP, octets) if head and ahead else None,
            datagrams,
            behind,
            column(datagrams, head, ">u8"),
            column(datagrams, head + HEADER_OCTETS, ">u8"),
            [inside[at : at + encrypted] for at in rows],
            [out[at : at + HEADER_OCTETS] for at in starts],
            [out[at + start : at + octets - head] for at in starts],
        )
