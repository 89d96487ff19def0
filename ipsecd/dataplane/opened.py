"""What is left of packets once they are known to be authentic and fresh, of ESP (``opening``) and of AH
(``verifying``).

Rows and views are of buffers that are used again for what comes next.
"""

from __future__ import annotations

from typing import NamedTuple

from ipsecd.dataplane.columns import Octets

_KEPT = 8  # a stream cuts the same again and again, and a peer could cut in thousands of ways


class Cuts:
    """Views of the same packets again and again, and what is cut out of them."""

    __slots__ = ("_made", "views")

    def __init__(self, views: list[memoryview]) -> None:
        self.views = views
        self._made: dict[tuple[int, int], list[memoryview]] = {}

    def between(self, start: int, end: int) -> list[memoryview]:
        """Of each what stands between these."""
        try:
            return self._made[start, end]
        except KeyError:
            if len(self._made) >= _KEPT:
                self._made.clear()
            found = self._made[start, end] = [view[start:end] for view in self.views]
            return found


class OpenedRun(NamedTuple):
    """Packets of one length, a row each. ``views`` are those rows, ``inner`` octets each and perhaps more behind.
    ``counted`` are the octets of each that count for the SA's lifetime (RFC 4301 section 4.4.2.1); ``number`` is the
    sequence number of the first. The first ``own`` octets are the packet's own IP header, which ``next_header`` is
    behind; 0 if there is none in front of what was protected."""

    rows: Octets
    views: list[memoryview]
    inner: int
    next_header: int
    counted: int
    number: int
    cuts: Cuts
    own: int = 0

    def payloads(self, header: int, start: int, end: int) -> list[memoryview]:
        """What stands behind the first ``header`` octets of the packets from ``start`` to ``end``."""
        return self.cuts.between(header, self.inner)[start:end]


class OpenedOne(NamedTuple):
    """One packet; the rest as above."""

    packet: memoryview
    next_header: int
    counted: int
    number: int
    own: int = 0
