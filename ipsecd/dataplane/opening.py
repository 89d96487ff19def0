"""ESP packets of one SA and one length, opened from row to row (RFC 4303 section 3.4).

A run is *plain* if its sequence numbers follow each other above all that were seen. Then the replay window is asked
once and moved once, behind the last ICV. Anything else, and a run with one wrong ICV in it, is for the road that takes
packets one by one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ipsecd.dataplane.columns import MOST, Numbers, Octets, column, matrix
from ipsecd.ipsec.sa import InboundSa
from ipsecd.wire.esp import HEADER_OCTETS, TRAILER_OCTETS

_NONCE, _SALT, _EXTENDED = 12, 4, 12
_LAYOUTS = 64
_FAR = 1 << 62  # numbers beyond it are for the other road


class OpenedRun(NamedTuple):
    """Authentic, fresh packets: a row each, their trailers removed. ``encrypted`` counts the octets of each that were
    (RFC 4301 section 4.4.2.1)."""

    rows: Octets
    next_header: int
    encrypted: int


class _Layout(NamedTuple):
    rows: Octets
    plain: list[memoryview]
    headers: list[memoryview]
    sealed: list[memoryview]


class Opener:
    """The buffers of the way in. ``received`` is where datagrams are read into, one run behind the other."""

    def __init__(self, received: Octets) -> None:
        self._received = received
        self._plain = np.zeros(len(received), np.uint8)
        self._nonces = np.zeros((MOST, _NONCE), np.uint8)
        self._extended = np.zeros((MOST, _EXTENDED), np.uint8)
        self._nonce_views = [row.data for row in self._nonces]
        self._extended_views = [row.data for row in self._extended]
        self._layout = lru_cache(maxsize=_LAYOUTS)(self._lay_out)

    def open(self, sa: InboundSa, at: int, octets: int, count: int) -> OpenedRun | None:
        """Open ``count`` datagrams of ``octets`` each, the first at ``at``; None if they aren't a plain run of
        authentic packets with the same trailer, and nothing has changed then."""
        cipher = sa.cipher.run
        if cipher is None:
            return None
        datagrams = matrix(self._received, count, octets, at=at)
        numbers = column(datagrams, 4, ">u4").astype(np.int64)
        first = sa.window.extend(int(numbers[0])) if sa.esn else int(numbers[0])
        if first <= sa.window.top or not 0 < first < _FAR or not _follow(numbers):  # the last also where they wrap
            return None
        layout = self._layout(at, octets, sa.cipher.iv_octets, sa.cipher.icv_octets)
        nonces = self._nonces[:count]
        nonces[:, :_SALT] = np.frombuffer(cipher.salt, np.uint8)
        nonces[:, _SALT:] = datagrams[:, HEADER_OCTETS : HEADER_OCTETS + sa.cipher.iv_octets]
        headers = layout.headers
        if sa.esn:
            extended = self._extended[:count]
            extended[:, :4] = datagrams[:, :4]
            column(extended, 4, ">u8")[:] = numbers - int(numbers[0]) + first
            headers = self._extended_views
        if not cipher.open(self._nonce_views[:count], layout.sealed, headers, layout.plain):
            return None
        rows = layout.rows[:count]
        padding, next_header = int(rows[0, -2]), int(rows[0, -1])
        inner = rows.shape[1] - TRAILER_OCTETS - padding
        if inner < 1 or not (rows[:, inner:] == _trailer(padding, next_header)).all():
            return None
        sa.failures = 0
        sa.window.commit_run(first, count)
        return OpenedRun(rows[:, :inner], next_header, rows.shape[1])

    def _lay_out(self, at: int, octets: int, iv_octets: int, icv_octets: int) -> _Layout:
        ahead = HEADER_OCTETS + iv_octets
        plain = octets - ahead - icv_octets
        most = min(MOST, (len(self._received) - at) // octets, len(self._plain) // plain)
        received, inside = self._received.data, self._plain.data
        starts = range(at, at + most * octets, octets)
        return _Layout(
            matrix(self._plain, most, plain),
            [inside[start : start + plain] for start in range(0, most * plain, plain)],
            [received[start : start + HEADER_OCTETS] for start in starts],
            [received[start + ahead : start + octets] for start in starts],
        )


def _follow(numbers: Numbers) -> bool:
    return bool((np.diff(numbers) == 1).all())


def _trailer(padding: int, next_header: int) -> Octets:
    return np.array([*range(1, padding + 1), padding, next_header], np.uint8)
