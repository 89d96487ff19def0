"""AH packets of one SA and one length, verified where they stand (RFC 4302 section 3.4), and single ones.

The ICV covers a packet as it was sent: with zeros for itself and for what may change on the way. So those are kept, and
zeroed in all packets of a run at once, which are then covered by one view each. If one ICV is wrong all is put back.
In UDP it covers a header that isn't sent (``outer.fixed``), too.

What a plain run is, and who takes all else, is as in ``opening``. Verified packets stay where they are. In transport
mode the IP header, if it came, goes over the end of AH, in front of what it carried.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd import limits
from ipsecd.crypto.secret import equal
from ipsecd.dataplane.columns import MOST, Octets, column, matrix
from ipsecd.dataplane.grouping import LAYOUTS, first_number, rows_for
from ipsecd.dataplane.heading import LASTING, covered
from ipsecd.dataplane.messages import Outside
from ipsecd.dataplane.opened import Cuts, OpenedOne, OpenedRun
from ipsecd.dataplane.restoring import put_back
from ipsecd.ipsec import outer
from ipsecd.ipsec.replay import Verdict
from ipsecd.ipsec.sa import InboundSa
from ipsecd.ipsec.transport import headed
from ipsecd.wire.ah import FIXED_OCTETS, header_octets
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS
from ipsecd.wire.registry import IpProtocol

_FIXED = struct.Struct("!BBH4xI")  # next header, length, reserved, sequence number
_AH = IpProtocol.AH
_UNSENT = {4: IPV4_OCTETS, 6: IPV6_OCTETS}
_STANDS = b"\xff"


class _Shape(NamedTuple):
    """Of AH behind ``head`` octets of an IP header: its length, the octet that says so, where the ICV is and ends, and
    what is covered of all this, as ones of ``mask`` and of ``covered``."""

    octets: int
    words: int
    icv: int
    end: int
    mask: int
    covered: Octets


class _Layout(NamedTuple):
    """What packets of one length at one place need of the buffer: ``ahead`` is all in front of what is protected,
    ``words`` the start of AH, ``ivs`` and ``views`` what goes into an ICV. ``rows`` are what is delivered."""

    ahead: Octets
    words: npt.NDArray[Any]
    ivs: list[memoryview]
    views: list[memoryview]
    rows: Octets
    cuts: Cuts


class Verifier:
    """The way in for AH. ``received`` is where packets are read into, one run behind the other."""

    def __init__(self, received: Octets) -> None:
        self._received = received
        self._octets = received.data
        self._layout = lru_cache(maxsize=LAYOUTS)(self._lay_out)
        self._unsent: dict[tuple[int, int], tuple[Outside, bytes]] = {}  # by SPI and octets

    def counted(self, sa: InboundSa, octets: int, head: int) -> int:
        """The octets of a packet that count for the lifetime of an SA; 0 if it isn't one of AH alone, or if there is
        nothing behind AH."""
        if sa.protocol is not _AH or sa.form.outer or octets <= head + _shape_of(sa, head).octets:
            return 0
        return octets if head else octets + _UNSENT[sa.seen_outside.remote.version]

    def open(self, sa: InboundSa, at: int, octets: int, count: int, head: int = 0) -> OpenedRun | None:
        """Verify ``count`` packets of ``octets`` each, the first at ``at``, that are one of ``Grouping.stretches``, AH
        behind the first ``head`` of each; None if they aren't a plain run of authentic packets with the same next
        header, and nothing has changed then."""
        shape = _shape_of(sa, head)
        next_header, words, reserved, low = _FIXED.unpack_from(self._octets, at + head)
        first = first_number(sa, low, count)
        if first is None or words != shape.words or reserved:  # which in UDP tells AH from ESP
            return None
        own = head if sa.form.transport else 0
        layout = self._layout(at, octets, head, own, shape.octets, sa.mac.iv_octets, rows_for(count))
        if layout.words[:count].tobytes() != layout.words[:1].tobytes() * count:
            return None
        ahead = layout.ahead[:count]
        came = ahead.copy()
        np.bitwise_and(came, shape.covered, out=ahead)
        unsent = b"" if head else self._unsent_front(sa, octets)
        icvs = sa.mac.icvs(map(bytes, layout.ivs), unsent, layout.views[:count], repeat(sa.high(first)))
        if not equal(b"".join(icvs), came[:, shape.icv : shape.end].tobytes()):
            ahead[:] = came
            return None
        sa.failures = 0
        sa.window.commit_run(first, count)
        rows = layout.rows[:count]
        inner = rows.shape[1]
        if own:
            put_back(came[:, :head], rows, next_header, inner)
        counted = octets + len(unsent)
        return OpenedRun(rows, layout.cuts.views[:count], inner, next_header, counted, first, layout.cuts, own)

    def open_one(self, sa: InboundSa, at: int, octets: int, head: int = 0) -> OpenedOne | None:
        """Verify the packet at ``at``, AH behind its first ``head`` octets; None if it isn't fresh and authentic, and
        nothing has changed then."""
        shape, mac, window, whole = _shape_of(sa, head), sa.mac, sa.window, self._octets
        next_header, words, _, number = _FIXED.unpack_from(whole, at + head)
        if sa.esn:
            number = window.extend(number)
        if words != shape.words or window.check(number) is not Verdict.FRESH:
            return None
        ahead = head + shape.octets
        start, end = at + ahead, at + octets
        signed = (int.from_bytes(whole[at:start], "big") & shape.mask).to_bytes(ahead, "big")
        unsent = b"" if head else self._unsent_front(sa, octets)
        icv = at + shape.icv
        iv = whole[icv - mac.iv_octets : icv].tobytes()
        if not mac.verify(iv, whole[icv : at + shape.end], unsent + signed, whole[start:end], sa.high(number)):
            return None
        sa.failures = 0
        window.commit(number)
        counted = octets + len(unsent)
        if not head or not sa.form.transport:
            return OpenedOne(whole[start:end], next_header, counted, number)
        header = headed(bytes(whole[at : at + head]), next_header, end - start)
        whole[start - head : start] = header
        return OpenedOne(whole[start - head : end], next_header, counted, number, head)

    def _unsent_front(self, sa: InboundSa, octets: int) -> bytes:
        """The header that packets of so many octets were signed with, if they come in UDP."""
        outside, key = sa.seen_outside, (sa.spi, octets)
        known = self._unsent.get(key)
        if known is not None and known[0] is outside:
            return known[1]
        if len(self._unsent) >= limits.MAX_FLOWS:
            self._unsent.clear()
        made = covered(headed(outer.fixed(outside.remote, outside.local), _AH, octets))
        self._unsent[key] = outside, made
        return made

    def _lay_out(self, at: int, octets: int, head: int, own: int, ah_octets: int, iv_octets: int, rows: int) -> _Layout:
        most = min(rows, MOST, (len(self._received) - at) // octets)
        packets, received = matrix(self._received, most, octets, at=at), self._octets
        starts = range(at, at + most * octets, octets)
        ahead, iv = head + ah_octets, head + FIXED_OCTETS
        return _Layout(
            packets[:, :ahead],
            column(packets, head, "=u4"),
            [received[start + iv : start + iv + iv_octets] for start in starts],
            [received[start : start + octets] for start in starts],
            packets[:, ahead - own :],
            Cuts([received[start + ahead - own : start + octets] for start in starts]),
        )


def _shape_of(sa: InboundSa, head: int) -> _Shape:
    """In UDP the version is that of the peer's address."""
    mac = sa.mac
    version = 4 if head == IPV4_OCTETS else 6 if head else sa.seen_outside.remote.version
    return _shape(head, version, mac.iv_octets, mac.icv_octets)


@lru_cache(maxsize=LAYOUTS)
def _shape(head: int, version: int, iv_octets: int, icv_octets: int) -> _Shape:
    octets, before = header_octets(iv_octets + icv_octets, version), FIXED_OCTETS + iv_octets
    padding = octets - before - icv_octets
    stands = LASTING[head] + _STANDS * before + bytes(icv_octets) + _STANDS * padding
    icv = head + before
    mask = int.from_bytes(stands, "big")
    return _Shape(octets, octets // 4 - 2, icv, icv + icv_octets, mask, np.frombuffer(stands, np.uint8))
