"""ESP packets of one SA and one length, opened from row to row (RFC 4303 section 3.4), and single ones. Each may have
an IP header in front, which is passed over.

A run is *plain* if its sequence numbers follow each other above all that were seen. Then the replay window is asked
once and moved once, behind the last ICV. Anything else, and a run with one wrong ICV in it, is for the roads that take
packets one by one.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import INDEX, MOST, Octets, column, matrix
from ipsecd.ipsec.replay import Verdict
from ipsecd.ipsec.sa import InboundSa
from ipsecd.wire.esp import HEADER_OCTETS, MAX_PADDING, TRAILER_OCTETS

_NONCE, _SALT, _EXTENDED = 12, 4, 12
_IV = _NONCE - _SALT
_LAYOUTS = 64
_SMALLEST = 8  # rows of a layout
_FAR = 1 << 62  # numbers beyond it are for the other road
_LOW = 0xFFFF_FFFF
_NUMBER = struct.Struct("!4xI")
_PADDING = bytes(range(1, MAX_PADDING + 1))
_COUNTED = INDEX.astype(np.uint64).tobytes()
_WORD = 4


class Layout(NamedTuple):
    """What datagrams of one length at one place need of the buffers. ``ends`` is the last word of each row."""

    rows: Octets
    plain: list[memoryview]
    headers: list[memoryview]
    sealed: list[memoryview]
    ivs: npt.NDArray[Any]
    ends: npt.NDArray[Any] | None
    cuts: dict[tuple[int, int], list[memoryview]]

    def payloads(self, header: int, inner: int) -> list[memoryview]:
        """Of each row what stands between these."""
        try:
            return self.cuts[header, inner]
        except KeyError:
            found = self.cuts[header, inner] = [view[header:inner] for view in self.plain]
            return found


class OpenedRun(NamedTuple):
    """Authentic, fresh packets: a row each, their trailers removed; ``views`` are those rows, ``inner`` octets each
    and their trailers behind. ``encrypted`` counts the octets of each that were (RFC 4301 section 4.4.2.1); ``number``
    is the sequence number of the first."""

    rows: Octets
    views: list[memoryview]
    inner: int
    next_header: int
    encrypted: int
    number: int
    layout: Layout

    def payloads(self, header: int, start: int, end: int) -> list[memoryview]:
        """What stands behind the first ``header`` octets of the packets from ``start`` to ``end``."""
        return self.layout.payloads(header, self.inner)[start:end]


class OpenedOne(NamedTuple):
    """An authentic, fresh packet; the rest as above."""

    packet: memoryview
    next_header: int
    encrypted: int
    number: int


class Opener:
    """The buffers of the way in. ``received`` is where datagrams are read into, one run behind the other. What is
    opened is overwritten by the next: runs from the start of the buffer, single ones at their place."""

    def __init__(self, received: Octets) -> None:
        self._received = received
        self._octets = received.data
        self._plain = np.zeros(len(received), np.uint8)
        self._inside = self._plain.data
        self._nonces = np.zeros((MOST, _NONCE), np.uint8)
        self._ivs = column(self._nonces, _SALT, "=u8")
        self._salt = b""  # what stands in the nonces
        self._extended = np.zeros((MOST, _EXTENDED), np.uint8)
        self._nonce_views = [row.data for row in self._nonces]
        self._extended_views = [row.data for row in self._extended]
        self._layout = lru_cache(maxsize=_LAYOUTS)(self._lay_out)
        self._numbers = lru_cache(maxsize=_LAYOUTS)(self._find_numbers)

    def stretches(self, at: int, octets: int, count: int, head: int = 0) -> list[tuple[int, int]]:
        """Where datagrams of one SPI begin whose numbers follow each other, and how many they are; of ``count``
        datagrams, MOST at most, of ``octets`` each, the first ``at``. ESP begins behind the first ``head`` of each."""
        numbers = self._numbers(at, octets, count, head).astype(np.uint64)
        if (numbers - numbers[0]).tobytes() == _COUNTED[: numbers.nbytes]:
            return [(at, count)]
        edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), count]
        return [(at + first * octets, end - first) for first, end in pairwise(edges)]

    def open(self, sa: InboundSa, at: int, octets: int, count: int, head: int = 0) -> OpenedRun | None:
        """Open ``count`` datagrams of ``octets`` each, the first at ``at``, that are one of ``stretches``; None if they
        aren't a plain run of authentic packets with the same trailer, and nothing has changed then."""
        cipher = sa.run
        if cipher is None:
            return None
        (low,) = _NUMBER.unpack_from(self._octets, at + head)
        first = sa.window.extend(low) if sa.esn else low
        # two SPIs in a row may look like one, where the numbers of the first end
        if first <= sa.window.top or not 0 < first < _FAR or low + count - 1 > _LOW:
            return None
        rows = max(1 << (count - 1).bit_length(), _SMALLEST)
        layout = self._layout(at, octets, head, sa.cipher.icv_octets, rows)
        if cipher.salt != self._salt:
            self._nonces[:, :_SALT] = np.frombuffer(cipher.salt, np.uint8)
            self._salt = cipher.salt
        self._ivs[:count] = layout.ivs[:count]
        headers = layout.headers
        if sa.esn:
            self._extend(at + head, first, count)
            headers = self._extended_views
        if not cipher.open(self._nonce_views[:count], layout.sealed, headers, layout.plain):
            return None
        inner, next_header = _inside(layout, count)
        if inner < 1:
            return None
        sa.failures = 0
        sa.window.commit_run(first, count)
        opened, encrypted = layout.rows[:count, :inner], layout.rows.shape[1]
        return OpenedRun(opened, layout.plain[:count], inner, next_header, encrypted, first, layout)

    def open_one(self, sa: InboundSa, at: int, octets: int) -> OpenedOne | None:
        """Open the datagram at ``at``; None if it isn't fresh, authentic and of right padding, and nothing has changed
        then."""
        cipher, window, whole = sa.run, sa.window, self._octets
        header = whole[at : at + HEADER_OCTETS]
        (number,) = _NUMBER.unpack(header)
        associated: bytes | memoryview = header
        if sa.esn:
            number = window.extend(number)
            associated = b"".join((header[:_WORD], number.to_bytes(_EXTENDED - _WORD, "big")))
        if cipher is None or window.check(number) is not Verdict.FRESH:
            return None
        start = at + HEADER_OCTETS + _IV
        plain = self._inside[at : at + octets - HEADER_OCTETS - _IV - sa.cipher.icv_octets]
        if not cipher.open_one(whole[at + HEADER_OCTETS : start], whole[start : at + octets], associated, plain):
            return None
        encrypted, padding, next_header = len(plain), plain[-2], plain[-1]
        inner = encrypted - TRAILER_OCTETS - padding
        if inner < 1 or plain[inner:-TRAILER_OCTETS] != _PADDING[:padding]:
            return None
        sa.failures = 0
        window.commit(number)
        return OpenedOne(plain[:inner], next_header, encrypted, number)

    def _extend(self, at: int, first: int, count: int) -> None:
        """What is authenticated ahead of the ciphertext with extended numbers: the SPI and all 64 bits."""
        self._extended[:count, :_WORD] = self._received[at : at + _WORD]
        column(self._extended, _WORD, ">u8")[:count] = INDEX[:count] + first

    def _find_numbers(self, at: int, octets: int, count: int, head: int) -> npt.NDArray[Any]:
        """SPI and sequence number of each, as one number."""
        return column(matrix(self._received, count, octets, at=at), head, ">u8")

    def _lay_out(self, at: int, octets: int, head: int, icv_octets: int, rows: int) -> Layout:
        ahead = HEADER_OCTETS + _IV
        plain = octets - head - ahead - icv_octets
        most = min(rows, MOST, (len(self._received) - at) // octets)
        received, inside = self._octets, self._inside
        starts = range(at + head, at + head + most * octets, octets)
        opened = matrix(self._plain, most, plain)
        return Layout(
            opened,
            [inside[start : start + plain] for start in range(0, most * plain, plain)],
            [received[start : start + HEADER_OCTETS] for start in starts],
            [received[start + ahead : start + octets - head] for start in starts],
            column(matrix(self._received, most, octets, at=at), head + HEADER_OCTETS, "=u8"),
            column(opened, plain - _WORD, "=u4") if plain >= _WORD else None,
            {},
        )


def _inside(layout: Layout, count: int) -> tuple[int, int]:
    """How many octets the packets have, and their next header; 0 if their trailers differ or are wrong."""
    first = layout.plain[0]
    padding, next_header = first[-2], first[-1]
    inner = len(first) - TRAILER_OCTETS - padding
    if inner < 1 or first[inner:-TRAILER_OCTETS] != _PADDING[:padding]:
        return 0, next_header
    if padding == _WORD - TRAILER_OCTETS and layout.ends is not None:  # the whole word is the trailer
        alike = layout.ends[:count].tobytes() == bytes(first[-_WORD:]) * count
    else:
        trailers = layout.rows[:count, inner:]
        alike = bool((trailers == trailers[0]).all())
    return (inner if alike else 0), next_header
