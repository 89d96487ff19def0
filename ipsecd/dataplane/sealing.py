"""ESP packets of one SA and one length, sealed as rows of one buffer that leaves in one call (RFC 4303, RFC 4106).

Buffers are allocated once. A *layout* is what one length of packet needs of them: views for the AEAD, which seals from
row to row, and columns for what numpy writes of all rows at once. Layouts are kept, the least recently used forgotten
first; they share the buffers, so one run is sent before the next is laid out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.dataplane.columns import INDEX, MOST, Octets, column, matrix
from ipsecd.errors import LocalError
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.esp import HEADER_OCTETS, trailer

RUN_OCTETS = 65_450  # UDP payload that leaves as segments; a little more is taken, and goes out one by one
LAST_NUMBER = 1 << 62  # sequence numbers that machine words hold with room to spare
_NONCE, _SALT, _EXTENDED = 12, 4, 12
_LAYOUTS = 64


class Layout(NamedTuple):
    """``rows`` are for the packets inside, ``inner`` octets each and a trailer behind; at most ``most`` of them.
    ``datagrams`` are what leaves, ``octets`` each."""

    inner: int
    octets: int
    most: int
    rows: Octets
    datagrams: Octets
    trailer: Octets
    plain: list[memoryview]
    headers: list[memoryview]
    sealed: list[memoryview]


class Sealer:
    """The buffers of the way out."""

    def __init__(self) -> None:
        self._plain = np.zeros(RUN_OCTETS, np.uint8)
        self._out = np.zeros(2 * RUN_OCTETS, np.uint8)  # a last packet fits behind any run
        self._nonces = np.zeros((MOST, _NONCE), np.uint8)
        self._extended = np.zeros((MOST, _EXTENDED), np.uint8)  # SPI and a whole sequence number, to be authenticated
        self._nonce_views = [row.data for row in self._nonces]
        self._extended_views = [row.data for row in self._extended]
        self._layout = lru_cache(maxsize=_LAYOUTS)(self._lay_out)

    def layout(self, cipher: EspCipher, inner: int, next_header: int) -> Layout:
        """For packets of ``inner`` octets, of the IP version that ``next_header`` says."""
        return self._layout(inner, next_header, cipher.align, cipher.iv_octets, cipher.icv_octets)

    def seal(self, layout: Layout, sa: OutboundSa, first: int, count: int, last: bytes = b"") -> memoryview:
        """Seal the packets in the first ``count`` rows under the sequence numbers from ``first`` on: the datagrams, one
        behind the other. ``last`` is a sealed packet, no longer than they, that goes behind them."""
        cipher = sa.cipher.run
        if cipher is None:
            raise LocalError("this cipher seals no runs")
        layout.rows[:count, layout.inner :] = layout.trailer
        datagrams = layout.datagrams[:count]
        numbers = INDEX[:count] + first
        column(datagrams, 0, ">u4")[:] = sa.spi
        column(datagrams, 4, ">u4")[:] = numbers & 0xFFFF_FFFF
        column(datagrams, 8, ">u8")[:] = numbers
        nonces = self._nonces[:count]
        nonces[:, :_SALT] = np.frombuffer(cipher.salt, np.uint8)
        column(nonces, _SALT, ">u8")[:] = numbers
        headers = layout.headers
        if sa.esn:
            extended = self._extended[:count]
            column(extended, 0, ">u4")[:] = sa.spi
            column(extended, 4, ">u8")[:] = numbers
            headers = self._extended_views
        cipher.seal(self._nonce_views[:count], layout.plain, headers, layout.sealed)
        out, end = self._out.data, count * layout.octets
        out[end : end + len(last)] = last
        return out[: end + len(last)]

    def _lay_out(self, inner: int, next_header: int, align: int, iv_octets: int, icv_octets: int) -> Layout:
        behind = np.frombuffer(trailer(inner, align, next_header), np.uint8)
        plain = inner + len(behind)
        ahead = HEADER_OCTETS + iv_octets
        octets = ahead + plain + icv_octets
        most = min(RUN_OCTETS // octets, MOST // 2)
        out, inside = self._out.data, self._plain.data
        starts = range(0, most * octets, octets)
        return Layout(
            inner,
            octets,
            most,
            matrix(self._plain, most, plain),
            matrix(self._out, most, octets),
            behind,
            [inside[at : at + plain] for at in range(0, most * plain, plain)],
            [out[at : at + HEADER_OCTETS] for at in starts],
            [out[at + ahead : at + octets] for at in starts],
        )
