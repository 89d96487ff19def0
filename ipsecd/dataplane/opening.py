"""ESP packets of one SA and one length, opened from row to row (RFC 4303 section 3.4), and single ones. Each may have
an IP header in front, which is passed over; in transport mode it stands in front of what was opened again.

A run is *plain* if its sequence numbers follow each other above all that were seen. Then the replay window is asked
once and moved once, behind the last ICV. Anything else, and a run with one wrong ICV in it, is for the roads that take
packets one by one.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import INDEX, MOST, Octets, column, matrix
from ipsecd.dataplane.grouping import LAYOUTS, first_number, rows_for
from ipsecd.dataplane.opened import Cuts, OpenedOne, OpenedRun
from ipsecd.dataplane.restoring import put_back
from ipsecd.ipsec.replay import Verdict
from ipsecd.ipsec.sa import InboundSa
from ipsecd.ipsec.transport import headed
from ipsecd.wire.esp import HEADER_OCTETS, MAX_PADDING, TRAILER_OCTETS

_NONCE, _SALT, _EXTENDED = 12, 4, 12
_IV = _NONCE - _SALT
_NUMBER = struct.Struct("!4xI")
_PADDING = bytes(range(1, MAX_PADDING + 1))
_WORD = 4


class Layout(NamedTuple):
    """What packets of one length at one place need of the buffers. ``fronts`` are the IP headers of each, ``rows`` have
    room for them if they are put in front; ``ends`` is the last word of each row."""

    fronts: Octets
    rows: Octets
    plain: list[memoryview]
    headers: list[memoryview]
    sealed: list[memoryview]
    ivs: npt.NDArray[Any]
    ends: npt.NDArray[Any] | None
    cuts: Cuts


class Opener:
    """The buffers of the way in for ESP. ``received`` is where packets are read into, one run behind the other. What is
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
        self._layout = lru_cache(maxsize=LAYOUTS)(self._lay_out)

    def open(self, sa: InboundSa, at: int, octets: int, count: int, head: int = 0) -> OpenedRun | None:
        """Open ``count`` packets of ``octets`` each, the first at ``at``, that are one of ``Grouping.stretches``, ESP
        behind the first ``head`` of each; None if they aren't a plain run of authentic packets with the same trailer,
        and nothing has changed then."""
        cipher = sa.run
        if cipher is None:
            return None
        (low,) = _NUMBER.unpack_from(self._octets, at + head)
        first = first_number(sa, low, count)
        if first is None:
            return None
        own = head if sa.form.transport else 0
        layout = self._layout(at, octets, head, own, sa.cipher.icv_octets, rows_for(count))
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
        inner, next_header = _inside(layout, own, count)
        if inner < 1:
            return None
        sa.failures = 0
        sa.window.commit_run(first, count)
        inner += own
        rows, counted = layout.rows[:count, :inner], len(layout.plain[0])
        if own:
            put_back(layout.fronts[:count], rows, next_header, inner)
        return OpenedRun(rows, layout.cuts.views[:count], inner, next_header, counted, first, layout.cuts, own)

    def open_one(self, sa: InboundSa, at: int, octets: int, head: int = 0) -> OpenedOne | None:
        """Open the packet at ``at``, ESP behind its first ``head`` octets; None if it isn't fresh, authentic and of
        right padding, and nothing has changed then."""
        cipher, window, whole = sa.run, sa.window, self._octets
        end = at + octets
        at += head
        header = whole[at : at + HEADER_OCTETS]
        (number,) = _NUMBER.unpack(header)
        associated: bytes | memoryview = header
        if sa.esn:
            number = window.extend(number)
            associated = b"".join((header[:_WORD], number.to_bytes(_EXTENDED - _WORD, "big")))
        if cipher is None or window.check(number) is not Verdict.FRESH:
            return None
        start = at + HEADER_OCTETS + _IV
        plain = self._inside[at : at + end - start - sa.cipher.icv_octets]
        if not cipher.open_one(whole[at + HEADER_OCTETS : start], whole[start:end], associated, plain):
            return None
        encrypted, padding, next_header = len(plain), plain[-2], plain[-1]
        inner = encrypted - TRAILER_OCTETS - padding
        if inner < 1 or plain[inner:-TRAILER_OCTETS] != _PADDING[:padding]:
            return None
        sa.failures = 0
        window.commit(number)
        if not head or not sa.form.transport:
            return OpenedOne(plain[:inner], next_header, encrypted, number)
        self._inside[at - head : at] = headed(bytes(whole[at - head : at]), next_header, inner)
        return OpenedOne(self._inside[at - head : at + inner], next_header, encrypted, number, head)

    def _extend(self, at: int, first: int, count: int) -> None:
        """What is authenticated ahead of the ciphertext with extended numbers: the SPI and all 64 bits."""
        self._extended[:count, :_WORD] = self._received[at : at + _WORD]
        column(self._extended, _WORD, ">u8")[:count] = INDEX[:count] + first

    def _lay_out(self, at: int, octets: int, head: int, own: int, icv_octets: int, rows: int) -> Layout:
        ahead = HEADER_OCTETS + _IV
        plain = octets - head - ahead - icv_octets
        most = min(rows, MOST, (len(self._received) - at) // octets)
        received, inside, row = self._octets, self._inside, own + plain
        starts = range(at + head, at + head + most * octets, octets)
        opened, packets = matrix(self._plain, most, row), matrix(self._received, most, octets, at=at)
        views = [inside[start : start + row] for start in range(0, most * row, row)]
        return Layout(
            packets[:, :head],
            opened,
            [view[own:] for view in views],
            [received[start : start + HEADER_OCTETS] for start in starts],
            [received[start + ahead : start + octets - head] for start in starts],
            column(packets, head + HEADER_OCTETS, "=u8"),
            column(opened, row - _WORD, "=u4") if plain >= _WORD else None,
            Cuts(views),
        )


def _inside(layout: Layout, own: int, count: int) -> tuple[int, int]:
    """How many octets what was protected has, behind the first ``own`` of each row, and its next header; 0 if their
    trailers differ or are wrong."""
    first = layout.plain[0]
    padding, next_header = first[-2], first[-1]
    inner = len(first) - TRAILER_OCTETS - padding
    if inner < 1 or first[inner:-TRAILER_OCTETS] != _PADDING[:padding]:
        return 0, next_header
    if padding == _WORD - TRAILER_OCTETS and layout.ends is not None:  # the whole word is the trailer
        alike = layout.ends[:count].tobytes() == bytes(first[-_WORD:]) * count
    else:
        trailers = layout.rows[:count, own + inner :]
        alike = bool((trailers == trailers[0]).all())
    return (inner if alike else 0), next_header
