"""ESP packets of one SA and one length, sealed as rows of one buffer that leaves in one call (RFC 4303, RFC 4106), or
without UDP, each with its IP header in front, in one call for each.

Buffers are allocated once. A *layout* is what one length of packet needs of them: views for the AEAD, which seals from
row to row, and columns for what numpy writes of all rows at once. Layouts are kept, the least recently used forgotten
first; they share the buffers, so one run is sent before the next is laid out. What stays the same from run to run, the
trailers of a layout and the salt of a key, is written when another one takes its turn.

Few packets cost less one by one: those are sealed by ``seal_each``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.crypto.runs import RunCipher
from ipsecd.dataplane.columns import INDEX, MOST, Octets, column, matrix
from ipsecd.dataplane.cutting import Shape, bare, shape
from ipsecd.dataplane.heading import head_each
from ipsecd.errors import LocalError
from ipsecd.ipsec.outer import Front, identification
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.esp import HEADER_OCTETS, trailer
from ipsecd.wire.offload import Cut

RUN_OCTETS = 65_450  # UDP payload that leaves as segments; a little more is taken, and goes out one by one
_ROOM = 2 * RUN_OCTETS  # what the kernel hands over at once may need two calls, as each datagram has a header
LAST_NUMBER = 1 << 62  # sequence numbers that machine words hold with room to spare
_NONCE, _SALT, _IV, _EXTENDED = 12, 4, 8, 12
_LOW = 0xFFFF_FFFF
_LAYOUTS = 64
_WORD = 4  # octets; rows end on a multiple of so many, as checksums are summed by words

_BEGIN = struct.Struct("!IIQ")  # SPI, low half of the sequence number, IV
_trailer = lru_cache(maxsize=_LAYOUTS)(trailer)

Column = npt.NDArray[np.uint64]


class Layout(NamedTuple):
    """``rows`` are for the packets inside, or in transport mode for what their IP headers carry: ``inner`` octets each
    and a trailer behind; at most ``most`` of them. ``words`` are those without their trailers, from the machine word on
    in which they begin, and so with the end of a trailer in front. ``datagrams`` have ``octets`` each, and ``fit`` of
    them leave in one call: ``fronts`` are their SPIs and sequence numbers, ``ivs`` what follows. ``shapes`` are the
    columns of those inside, by their headers."""

    inner: int
    octets: int
    most: int
    fit: int
    rows: Octets
    words: Octets
    trailer: bytes
    datagrams: Octets
    fronts: Column
    ivs: Column
    plain: list[memoryview]
    headers: list[memoryview]
    sealed: list[memoryview]
    shapes: dict[tuple[int, bool, int, int], Shape]

    def shape(self, cut: Cut) -> Shape:
        """The columns of segments cut so, each as long as a packet of this layout."""
        headers = cut.version, cut.tcp, cut.transport, cut.header
        try:
            return self.shapes[headers]
        except KeyError:
            if self.inner < cut.header + cut.segment:
                before = self.trailer[len(self.trailer) - (self.words.shape[1] - self.inner) :]
                found = self.shapes[headers] = bare(self.rows, self.words, before, cut)
            else:
                found = self.shapes[headers] = shape(self.rows, cut)
            return found


class Sealer:
    """The buffers of the way out."""

    def __init__(self) -> None:
        self._plain = np.zeros(_ROOM + _WORD, np.uint8)
        self._out = np.zeros(_ROOM + RUN_OCTETS, np.uint8)  # a last packet fits behind any run
        self._nonces = np.zeros((MOST, _NONCE), np.uint8)
        self._extended = np.zeros((MOST, _EXTENDED), np.uint8)  # SPI and a whole sequence number, to be authenticated
        self._nonce_views = [row.data for row in self._nonces]
        self._extended_views = [row.data for row in self._extended]
        self._nonce_numbers = column(self._nonces, _SALT, ">u8")
        self._extended_numbers = column(self._extended, 4, ">u8")
        self._salt = bytes(_SALT)  # in all nonces now
        self._laid_out: Layout | None = None  # whose trailers stand behind all rows now
        self._layout = lru_cache(maxsize=_LAYOUTS)(self._lay_out)

    def layout(self, cipher: EspCipher, inner: int, next_header: int, front: Front | None = None) -> Layout:
        """For packets of ``inner`` octets, of the IP version that ``next_header`` says, or the payloads of packets of
        that protocol, behind headers made by ``front``. It may be used until another one is asked for."""
        head = 0 if front is None else front.octets
        layout = self._layout(inner, next_header, cipher.align, cipher.iv_octets, cipher.icv_octets, head)
        if layout is not self._laid_out:
            trailer = np.frombuffer(layout.trailer, np.uint8)
            layout.rows[:, inner:] = trailer
            gap = layout.words.shape[1] - inner  # in front of the first row, as there is a trailer before all others
            self._plain[:gap] = trailer[len(trailer) - gap :]
            self._laid_out = layout
        return layout

    def seal(
        self,
        layout: Layout,
        sa: OutboundSa,
        first: int,
        count: int,
        last: bytes = b"",
        front: Front | None = None,
    ) -> memoryview:
        """Seal the packets in the first ``count`` rows under the sequence numbers from ``first`` on: the datagrams, one
        behind the other, each with a header of ``front``. ``last`` is a sealed packet, no longer than they, that goes
        behind them."""
        cipher = _cipher(sa)
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
        if front is not None:
            head_each(layout.datagrams[:count], front, first)
        out, end = self._out.data, count * layout.octets
        out[end : end + len(last)] = last
        return out[: end + len(last)]

    def _lay_out(self, inner: int, next_header: int, align: int, iv_octets: int, icv_octets: int, head: int) -> Layout:
        behind = trailer(inner, align, next_header)
        encrypted = inner + len(behind)
        ahead = HEADER_OCTETS + iv_octets
        octets = head + ahead + encrypted + icv_octets
        most = min(_ROOM // octets, MOST)
        out, inside = self._out.data, self._plain.data
        rows = range(-inner % _WORD, _ROOM, encrypted)[:most]
        starts = range(head, most * octets, octets)
        datagrams = matrix(self._out, most, octets)
        return Layout(
            inner,
            octets,
            most,
            most_of(octets),
            matrix(self._plain, most, encrypted, at=rows.start),
            matrix(self._plain, most, encrypted)[:, : rows.start + inner],
            behind,
            datagrams,
            column(datagrams, head, ">u8"),
            column(datagrams, head + HEADER_OCTETS, ">u8"),
            [inside[at : at + encrypted] for at in rows],
            [out[at : at + HEADER_OCTETS] for at in starts],
            [out[at + ahead : at + octets - head] for at in starts],
            {},
        )


def most_of(octets: int) -> int:
    """How many datagrams of so many octets leave in one call."""
    return min(RUN_OCTETS // octets, MOST // 2)


def trailer_of(cipher: EspCipher, inner: int, next_header: int) -> bytes:
    """The trailer of a packet of ``inner`` octets."""
    return _trailer(inner % cipher.align, cipher.align, next_header)


def seal_each(
    sa: OutboundSa, first: int, packets: Sequence[bytes], trailer: bytes, ahead: int = 0, front: Front | None = None
) -> list[bytes]:
    """Seal a few packets, but for the first ``ahead`` octets, each with this trailer, under the sequence numbers from
    ``first`` on: the datagrams, each with a header of ``front``."""
    seal, spi = _cipher(sa).seal_one, sa.spi
    datagrams = []
    for number, packet in enumerate(packets, first):
        begin = _BEGIN.pack(spi, number & _LOW, number)
        header = begin[:HEADER_OCTETS]
        if sa.esn:
            header = header[:4] + begin[HEADER_OCTETS:]
        inside = packet[ahead:] + trailer if ahead else packet + trailer
        datagram = begin + seal(begin[HEADER_OCTETS:], inside, header)
        datagrams.append(datagram if front is None else front.of(len(datagram), identification(number)) + datagram)
    return datagrams


def _cipher(sa: OutboundSa) -> RunCipher:
    if sa.run is None:
        raise LocalError("this SA seals no runs")
    return sa.run
