"""The way in for datagrams that the kernel hands over at once: those of one sender and one size, one behind the other.

Those of one SA that follow each other are opened as rows of one buffer, and take the steps of ``inbound``, in the same
order, together, as far as they are alike. What isn't plain goes that road, datagram by datagram, or packet by packet
once it is open: the first datagram of an SA or of a new address of its peer, a number out of order, a wrong ICV, a
limit that is near, congestion marks, more than one flow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ipsecd import limits
from ipsecd.dataplane.columns import MOST, column, matrix
from ipsecd.dataplane.inbound import Inbound
from ipsecd.dataplane.joining import joined, same_flow
from ipsecd.dataplane.messages import Outside
from ipsecd.dataplane.opening import OpenedRun, Opener
from ipsecd.dataplane.results import Result, ToTun, ToTunRun
from ipsecd.errors import PeerError, Refused
from ipsecd.ipsec.sa import InboundSa
from ipsecd.ipsec.tunnel import ECN_OUT, Decapsulated, inner_packet
from ipsecd.wire import ip
from ipsecd.wire.esp import HEADER_OCTETS, TRAILER_OCTETS
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import FLAGS_AT, SYN

_WORTH = 4  # packets that one by one would cost more


class _Kind(NamedTuple):
    """What datagrams of one run have in common: octets, sender, TOS, and whether they came where ESP is spoken."""

    segment: int
    outside: Outside
    tos: int
    natt: bool


class RunsIn(Inbound):
    """The road in, for datagrams and for runs. ``joins`` has the protocols of which the TUN device takes packets that
    stand for many."""

    def __init__(self, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE, joins: Collection[int] = ()) -> None:
        super().__init__(tun_mtu=tun_mtu, pmtu_age=pmtu_age)
        self._joins = frozenset(joins)
        self._buffer = np.zeros(2 * limits.RECEIVE_BUFFER, np.uint8)
        self._octets = self._buffer.data
        self._opener = Opener(self._buffer)
        self._filled = 0  # octets of datagrams that wait at the start of the buffer
        self._kind: _Kind | None = None  # what these have in common

    @property
    def received(self) -> memoryview:
        """Where the next read goes, behind what waits."""
        return self._octets[self._filled : self._filled + limits.RECEIVE_BUFFER]

    def carry_read(
        self, octets: int, segment: int, outside: Outside, tos: int, now: float, *, natt: bool
    ) -> Iterator[Result]:
        """Receive what one read put into ``received``: ``octets``, as datagrams of ``segment`` octets each but for the
        last, which may have less. The rest as in ``carry``. A single datagram waits for others like it until ``end``,
        or until something else comes."""
        start, kind, single = self._filled, _Kind(segment, outside, tos, natt), octets == segment > 0
        if start and not (single and kind == self._kind):
            yield from self.end(now)
        if not single:
            yield from self._receive_all(start, octets, kind, now)
            return
        if self._filled == 0 and start:
            self._octets[:octets] = self._octets[start : start + octets]
        self._kind = kind
        self._filled += octets
        if self._filled >= limits.RECEIVE_BUFFER:
            yield from self.end(now)

    def end(self, now: float) -> Iterator[Result]:
        """Receive what waits for others like it."""
        octets, self._filled = self._filled, 0
        if octets and self._kind is not None:
            yield from self._receive_all(0, octets, self._kind, now)

    def _receive_all(self, begin: int, octets: int, kind: _Kind, now: float) -> Iterator[Result]:
        segment, outside, tos, natt = kind
        if not octets:  # anybody can send a datagram of nothing
            yield from self.carry(b"", outside, tos, now, natt=natt)
            return
        for start, count in self._groups(begin, octets, segment, natt=natt):
            sa = self._sa(start, segment, outside, count, now) if count >= _WORTH else None
            if sa is not None and (run := self._opener.open(sa, start, segment, count)) is not None:
                yield from self._receive_run(sa, run, tos, now)
                continue
            for at in range(start, start + count * segment, segment):
                datagram = self._octets[at : min(at + segment, begin + octets)].tobytes()
                yield from self.carry(datagram, outside, tos, now, natt=natt)

    def _groups(self, begin: int, octets: int, segment: int, *, natt: bool) -> list[tuple[int, int]]:
        """Where datagrams of one SPI begin, and how many they are."""
        full = octets // segment
        if not natt or full < _WORTH or segment < HEADER_OCTETS:
            return [(at, 1) for at in range(begin, begin + octets, segment)]
        spis = column(matrix(self._buffer, full, segment, at=begin), 0, "=u4")
        edges = [0, *(np.flatnonzero(spis[1:] != spis[:-1]) + 1).tolist(), full]
        found = [
            (begin + first * segment, min(MOST, end - first))
            for beginning, end in pairwise(edges)
            for first in range(beginning, end, MOST)
        ]
        return [*found, (begin + full * segment, 1)] if octets % segment else found

    def _sa(self, at: int, segment: int, outside: Outside, count: int, now: float) -> InboundSa | None:
        """The SA of plain datagrams."""
        sa = self._sad.get(int.from_bytes(self._octets[at : at + 4], "big"))
        if sa is None or sa.cipher.run is None or not sa.used or outside != sa.seen_outside:
            return None
        encrypted = segment - HEADER_OCTETS - sa.cipher.iv_octets - sa.cipher.icv_octets
        if encrypted <= TRAILER_OCTETS or not sa.lifetime.bears(count, count * encrypted, now):
            return None
        return sa

    def _receive_run(self, sa: InboundSa, run: OpenedRun, tos: int, now: float) -> Iterator[Result]:
        count = len(run.rows)
        self.tally.paths["from-udp"] += count
        self.tally.paths["runs-in"] += 1
        sa.lifetime.carry(count, count * run.encrypted, now)
        self._alive.add(sa.spi)
        results: list[Result] = []
        self._tell_alive(now, results)
        yield from results
        inner = self._alike(run, tos)
        if inner is not None:
            yield from self._pass_run(sa, run, inner)
            return
        for row in run.rows:
            try:
                yield from self._pass(sa, run.next_header, row.tobytes(), tos, now)
            except (PeerError, Refused) as error:
                self.tally.drops[error.reason] += 1

    def _alike(self, run: OpenedRun, tos: int) -> ip.IpPacket | None:
        """The first packet, if all are of its flow and none has to be looked at by itself."""
        rows = run.rows
        try:
            packet, inner = inner_packet(run.next_header, rows[0].tobytes())
        except PeerError:
            return None
        if len(packet) != rows.shape[1] or not same_flow(rows, inner):
            return None
        if inner.protocol == IpProtocol.TCP and (rows[:, inner.transport_offset + FLAGS_AT] & SYN).any():
            return None  # step 9 looks at each of those
        ecn = inner.dscp_ecn & 3
        return inner if ECN_OUT[ecn, tos & 3] == Decapsulated(ecn) else None

    def _pass_run(self, sa: InboundSa, run: OpenedRun, inner: ip.IpPacket) -> Iterator[Result]:
        rows = run.rows
        try:
            self._decide(sa, *self._select(sa, rows[0].tobytes(), inner), len(rows))
        except (PeerError, Refused) as error:
            self.tally.drops[error.reason] += len(rows)
            return
        self.tally.paths["to-tun"] += len(rows)
        done = 0
        for part in joined(rows, inner) if inner.protocol in self._joins else ():
            for row in rows[done : part.start]:
                yield ToTun(row.tobytes())
            payload = rows[part.start : part.end, len(part.header) :].tobytes()
            yield ToTunRun(part.offload.encode(), part.header, payload)
            done = part.end
        for row in rows[done:]:
            yield ToTun(row.tobytes())
