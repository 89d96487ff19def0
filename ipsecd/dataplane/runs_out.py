"""The way out for packets that stand for many: a TCP or UDP payload that the kernel leaves for us to cut.

The steps are those of ``outbound``, in the same order, each taken once for all packets of the run. What isn't plain
goes that road, packet by packet: without an SA, with a limit near, too big for the path, in transport mode without UDP,
or a cipher that works otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ipsecd import limits
from ipsecd.dataplane.cutting import cut_full
from ipsecd.dataplane.gathering import Gathered, Way, plain
from ipsecd.dataplane.outbound import Outbound
from ipsecd.dataplane.results import Out, OutRun, Result
from ipsecd.dataplane.sealing import LAST_NUMBER, RUN_OCTETS, Layout, Sealer, seal_each, trailer_of
from ipsecd.dataplane.wrapping import NEXT_HEADER, outer_of
from ipsecd.errors import WireError
from ipsecd.ipsec import esp, pmtu
from ipsecd.ipsec.outer import Front
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import PROTECT, Direction
from ipsecd.wire import ip
from ipsecd.wire.offload import Cut, Offload, decode, plan, segment, segments
from ipsecd.wire.registry import IpProtocol

_TO_CUT = 3  # segments that are cut all at once; fewer cost less one by one
_TO_LAY_OUT = 16  # packets that are sealed in rows, likewise
_REMEMBERED = 1.0  # seconds; a path MTU may have aged by then
_TCP, _UDP = int(IpProtocol.TCP), int(IpProtocol.UDP)
_TRANSPORT = {4: 20, 6: 40}  # where it begins in a plain packet


class _Run(NamedTuple):
    """Packets that go out together: how they are cut, their way, the sequence number of the first, and the trailer of
    the last if it is a shorter one."""

    cut: Cut
    way: Way
    first: int
    after: bytes


class RunsOut(Outbound):
    """The road out, for packets and for runs."""

    def __init__(self, iv_source: esp.IvSource, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE) -> None:
        super().__init__(iv_source, tun_mtu=tun_mtu, pmtu_age=pmtu_age)
        self._sealer = Sealer()
        self._ways: dict[Hashable, Way | None] = {None: None}  # what isn't plain has none
        self._until = 0.0  # when time forgets them
        self._gathered: Gathered | None = None

    def carry_read(self, packet: memoryview, head: bytes | bytearray, now: float) -> Iterable[Result]:
        """Send what the TUN device gave in one read, its virtio header in ``head``. Each result is to be carried out
        before the next is taken, as runs share their buffer, and all before the next read. Plain packets wait for
        others like them until ``end``, or until something else comes."""
        try:
            offload = decode(head)
            if not offload.gso and (way := self._way(packet, now)) is not None and len(packet) <= way.room:
                return self._line_up(packet, offload, way, now)
        except WireError:
            return self._malformed()
        return self._carry_alone(packet, offload, now)

    def end(self, now: float) -> Iterable[Result]:
        """Send what waits for others like it."""
        gathered = self._gathered
        if gathered is None:
            return ()
        self._gathered = None
        way, packets = gathered.way, gathered.packets
        sa, count = way.sa, len(packets)
        encrypted = count * gathered.encrypted
        if gathered.stale or (first := self._take(sa, count, encrypted, now)) is None:
            return self.carry(packets, now)
        self._count(way.entry, count)
        if count < _TO_LAY_OUT:
            return self._together(way, seal_each(sa, first, packets, gathered.trailer, way.ahead, way.front), packets)
        layout = self._sealer.layout(sa.cipher, gathered.inside, way.next_header, way.front)
        inner = np.frombuffer(b"".join(packets), np.uint8).reshape(count, gathered.octets)
        layout.rows[:count, : gathered.inside] = inner[:, way.ahead :]
        datagrams = self._sealer.seal(layout, sa, first, count, front=way.front)
        self.tally.paths["runs-out"] += 1
        return (OutRun(datagrams, layout.octets, sa.outside, way.tos, way.df, packets.copy),)

    def forget(self) -> None:
        """Something has changed that packets depend on."""
        self._ways = {None: None}
        if self._gathered is not None:
            self._gathered.stale = True

    def _line_up(self, packet: memoryview, offload: Offload, way: Way, now: float) -> Iterable[Result]:
        whole = bytes(packet)
        if offload.unfinished:
            (whole,) = segments(whole, offload)
        gathered, octets = self._gathered, len(whole)
        if gathered is not None and gathered.takes(way, octets):
            gathered.packets.append(whole)
            return ()
        before = self.end(now)
        self._gathered = Gathered(way, octets, whole)
        return before

    def _carry_alone(self, packet: memoryview, offload: Offload, now: float) -> Iterator[Result]:
        """What goes by itself, after all that waits."""
        yield from self.end(now)
        try:
            run = self._plan(packet, offload, now)
            packets = () if run else segments(packet, offload)
        except WireError:
            self._malformed()
            return
        if run is None:
            yield from self.carry(packets, now)
        else:
            yield from self._send_run(packet, run)

    def _malformed(self) -> tuple[Result, ...]:
        self.tally.paths["from-tun"] += 1
        self.tally.drops["malformed-packet"] += 1
        return ()

    def _way(self, packet: memoryview, now: float) -> Way | None:
        """How a plain packet goes, as others of its flow went a moment ago; None if it isn't plain."""
        if now >= self._until or len(self._ways) > limits.MAX_FLOWS:
            self._ways = {None: None}
            self._until = now + _REMEMBERED
        flow = plain(packet)
        try:
            return self._ways[flow]
        except KeyError:
            way = self._ways[flow] = self._find_way(packet, now)
            return way

    def _find_way(self, packet: memoryview, now: float) -> Way | None:
        inner = ip.parse(packet)
        flow = Flow.of(inner)
        entry = self._spd.lookup(flow, Direction.OUTBOUND)
        sa = self._sad.choose(entry.child, flow) if entry is not None and entry.action == PROTECT else None
        if entry is None or sa is None or sa.run is None or (sa.outside.native and sa.form.transport):
            return None
        kind, ahead, outside = NEXT_HEADER[inner.version], 0, sa.outside
        if sa.form.transport:
            kind, ahead = IpProtocol(inner.protocol), inner.transport_offset
        room = pmtu.room(sa, self._paths.to(outside.remote, now), ahead)
        says = outer_of(sa, entry.header, inner, may_fragment=False)
        front = None
        if outside.native:
            front = Front(outside.local, outside.remote, IpProtocol.ESP, says.tos, dont_fragment=says.dont_fragment)
        return Way(entry.name, sa, inner.protocol, kind, ahead, *says, room, front)

    def _plan(self, packet: memoryview, offload: Offload, now: float) -> _Run | None:
        """How a packet that stands for many goes as a run; None if it can't."""
        if not offload.gso or (way := self._way(packet, now)) is None:
            return None
        cut = plan(packet, offload)
        octets = cut.header + cut.segment
        if (
            octets > way.room
            or cut.transport != _TRANSPORT[cut.version]
            or way.protocol != (_TCP if cut.tcp else _UDP)  # else SYN may stand where nobody looked
        ):
            return None
        sa, inside = way.sa, octets - way.ahead
        encrypted = cut.full * (inside + len(trailer_of(sa.cipher, inside, way.next_header)))
        after = b""
        if cut.tail:
            shorter = inside - cut.segment + cut.tail
            after = trailer_of(sa.cipher, shorter, way.next_header)
            encrypted += shorter + len(after)
        first = self._take(sa, cut.pieces, encrypted, now)
        return None if first is None else _Run(cut, way, first, after)

    def _send_run(self, packet: memoryview, planned: _Run) -> Iterator[Result]:
        cut, way, first, after = planned
        sa, ahead, full = way.sa, way.ahead, cut.full
        inside = cut.header + cut.segment - ahead
        self._count(way.entry, cut.pieces)
        if full < _TO_CUT:
            packets = [segment(packet, cut, index) for index in range(cut.pieces)]
            trailer = trailer_of(sa.cipher, inside, way.next_header)
            datagrams = seal_each(sa, first, packets[:full], trailer, ahead, way.front)
            datagrams += seal_each(sa, first + full, packets[full:], after, ahead, way.front)
            yield from self._together(way, datagrams, packets)
            return
        last = b""
        if cut.tail:
            (last,) = seal_each(sa, first + full, (segment(packet, cut, full),), after, ahead, way.front)
        layout = self._sealer.layout(sa.cipher, inside, way.next_header, way.front)
        columns = layout.shape(cut)
        for start in range(0, full, layout.most):
            count = min(layout.most, full - start)
            cut_full(packet, cut, columns, count, start)
            ends = last if start + count == full else b""
            run = self._sealer.seal(layout, sa, first + start, count, ends, way.front)
            indices = range(start, start + count + bool(ends))
            yield from self._in_calls(layout, way, run, indices, partial(segment, packet, cut))

    def _in_calls(
        self, layout: Layout, way: Way, run: memoryview, indices: range, inside: Callable[[int], bytes]
    ) -> Iterator[OutRun]:
        """Send a run in as many calls as it needs, what is left over first: if the receiver reads that while the rest
        comes, it has all of it together. ``indices`` are those of the packets ``inside``."""
        count, octets = len(indices), layout.octets
        start, end = 0, (count - 1) % layout.fit + 1
        while start < count:
            packets = partial(_each, inside, indices[start:end])
            self.tally.paths["runs-out"] += 1
            yield OutRun(run[start * octets : end * octets], octets, way.sa.outside, way.tos, way.df, packets)
            start, end = end, end + layout.fit

    def _together(self, way: Way, datagrams: list[bytes], packets: list[bytes]) -> Sequence[Out | OutRun]:
        """Send a few packets of one length, of which the last may have less, in one call if they fit."""
        outside, tos, df = way.sa.outside, way.tos, way.df
        if len(packets) == 1:
            return (Out(datagrams[0], outside, tos, df, packets[0]),)
        run = b"".join(datagrams)
        if len(run) > RUN_OCTETS:
            return [Out(one, outside, tos, df, packet) for one, packet in zip(datagrams, packets, strict=True)]
        self.tally.paths["runs-out"] += 1
        return (OutRun(memoryview(run), len(datagrams[0]), outside, tos, df, packets.copy),)

    def _take(self, sa: OutboundSa, count: int, encrypted: int, now: float) -> int | None:
        """The first of so many sequence numbers, for packets of so many octets in all; None if a limit is near."""
        lifetime = sa.lifetime
        if not lifetime.bears(count, encrypted, now) or sa.sequence + count > LAST_NUMBER:
            return None
        first = sa.take(count)
        if first is not None:
            lifetime.carry(count, encrypted, now)
        return first

    def _count(self, entry: str, count: int) -> None:
        self.tally.entries[entry] += count
        paths = self.tally.paths
        paths["from-tun"] += count
        paths["datagrams"] += count
        paths["sealed"] += count


def _each(inside: Callable[[int], bytes], indices: range) -> list[bytes]:
    return [inside(index) for index in indices]
