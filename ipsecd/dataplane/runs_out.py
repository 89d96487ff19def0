"""The way out for packets that stand for many: a TCP or UDP payload that the kernel leaves for us to cut.

The steps are those of ``outbound``, in the same order, each taken once for all packets of the run. What isn't plain
goes that road, packet by packet: without an SA, with a limit near, too big for the path, what routers may cut in
transport mode without UDP, AH around ESP, or a cipher that works otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ipsecd import limits
from ipsecd.dataplane.columns import MOST
from ipsecd.dataplane.cutting import cut_full
from ipsecd.dataplane.gathering import Gathered, plain
from ipsecd.dataplane.layouts import RUN_OCTETS, Layout
from ipsecd.dataplane.outbound import Outbound
from ipsecd.dataplane.results import Out, OutRun, Result
from ipsecd.dataplane.sealing import Sealer
from ipsecd.dataplane.signing import Signer
from ipsecd.dataplane.ways import Size, Way, Wrapper
from ipsecd.dataplane.wrapping import NEXT_HEADER, Outer, outer_of
from ipsecd.errors import WireError
from ipsecd.ipsec import esp, pmtu
from ipsecd.ipsec.outer import Front
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import PROTECT, Direction
from ipsecd.wire import ip
from ipsecd.wire.offload import Cut, Offload, decode, plan, segment, segments
from ipsecd.wire.registry import IpProtocol

_LAST_NUMBER = 1 << 62  # sequence numbers that machine words hold with room to spare
_TO_CUT = 3  # segments that are cut all at once; fewer cost less one by one
_TO_LAY_OUT = 16  # packets that are sealed in rows, likewise
_REMEMBERED = 1.0  # seconds; a path MTU may have aged by then
_TCP, _UDP = int(IpProtocol.TCP), int(IpProtocol.UDP)
_TRANSPORT = {4: 20, 6: 40}  # where it begins in a plain packet


class _Run(NamedTuple):
    """Packets that go out together: how they are cut, their way, their size, that of the last if it is a shorter one,
    and the sequence number of the first."""

    cut: Cut
    way: Way
    size: Size
    after: Size | None
    first: int


class RunsOut(Outbound):
    """The road out, for packets and for runs."""

    def __init__(self, iv_source: esp.IvSource, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE) -> None:
        super().__init__(iv_source, tun_mtu=tun_mtu, pmtu_age=pmtu_age)
        self._sealer, self._signer = Sealer(), Signer()
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
        way, size, packets = gathered.way, gathered.size, gathered.packets
        count = len(packets)
        if gathered.stale or (first := self._take(way.sa, count, count * size.counted, now)) is None:
            return self.carry(packets, now)
        self._count(way.entry, count)
        if count < _TO_LAY_OUT:
            return self._together(way, way.by.seal_each(way, size, first, packets), packets)
        layout = way.by.layout(way, size)
        layout.fill(packets)
        datagrams = way.by.seal(way, first, count)
        self.tally.paths["runs-out"] += 1
        return (OutRun(datagrams, layout.octets, way.sa.outside, way.tos, way.df, packets.copy),)

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
        by = None if sa is None else self._by(sa)
        if entry is None or sa is None or by is None:
            return None
        kind, ahead, outside = NEXT_HEADER[inner.version], 0, sa.outside
        if sa.form.transport:
            kind, ahead = IpProtocol(inner.protocol), inner.transport_offset
        room = pmtu.room(sa, min(self._paths.to(outside.remote, now), ip.MAX_PACKET), ahead)
        says = outer_of(sa, entry.header, inner, may_fragment=False)
        if outside.native and ahead and (inner.version != outside.remote.version or not says.dont_fragment):
            return None
        head, front = _heads(sa, ahead, says)
        return Way(entry.name, sa, by, inner.protocol, kind, ahead, head, *says, room, front)

    def _by(self, sa: OutboundSa) -> Wrapper | None:
        """What protects the packets of this SA; None if that goes packet by packet."""
        if sa.protocol is IpProtocol.AH:
            return self._signer
        return self._sealer if sa.run is not None else None

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
        size = way.size(octets)
        after = way.size(cut.header + cut.tail) if cut.tail else None
        counted = cut.full * size.counted + (after.counted if after is not None else 0)
        first = self._take(way.sa, cut.pieces, counted, now)
        return None if first is None else _Run(cut, way, size, after, first)

    def _send_run(self, packet: memoryview, planned: _Run) -> Iterator[Result]:
        cut, way, size, after, first = planned
        by, full = way.by, cut.full
        self._count(way.entry, cut.pieces)
        last = []
        if after is not None:
            last = by.seal_each(way, after, first + full, [segment(packet, cut, full)])
        if full < _TO_CUT:
            packets = [segment(packet, cut, index) for index in range(cut.pieces)]
            yield from self._together(way, by.seal_each(way, size, first, packets[:full]) + last, packets)
            return
        layout = by.layout(way, size)
        columns = layout.shape(cut)
        for start in range(0, full, layout.most):
            count = min(layout.most, full - start)
            cut_full(packet, cut, columns, count, start)
            ends = last if start + count == full else []
            run = by.seal(way, first + start, count, b"".join(ends))
            indices = range(start, start + count + len(ends))
            yield from self._in_calls(layout, way, run, indices, partial(segment, packet, cut))

    def _in_calls(
        self, layout: Layout, way: Way, run: memoryview, indices: range, inside: Callable[[int], bytes]
    ) -> Iterator[OutRun]:
        """Send a run in as many calls as it needs, what is left over first: if the receiver reads that while the rest
        comes, it has all of it together. ``indices`` are those of the packets ``inside``."""
        count, octets = len(indices), layout.octets
        fit = MOST // 2 if way.sa.outside.native else layout.fit  # such packets leave in one call, but not as one
        start, end = 0, (count - 1) % fit + 1
        while start < count:
            packets = partial(_each, inside, indices[start:end])
            self.tally.paths["runs-out"] += 1
            yield OutRun(run[start * octets : end * octets], octets, way.sa.outside, way.tos, way.df, packets)
            start, end = end, end + fit

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

    def _take(self, sa: OutboundSa, count: int, counted: int, now: float) -> int | None:
        """The first of so many sequence numbers, for packets of so many octets in all; None if a limit is near."""
        lifetime = sa.lifetime
        if not lifetime.bears(count, counted, now) or sa.sequence + count > _LAST_NUMBER:
            return None
        first = sa.take(count)
        if first is not None:
            lifetime.carry(count, counted, now)
        return first

    def _count(self, entry: str, count: int) -> None:
        self.tally.entries[entry] += count
        paths = self.tally.paths
        paths["from-tun"] += count
        paths["datagrams"] += count
        paths["sealed"] += count


def _heads(sa: OutboundSa, ahead: int, says: Outer) -> tuple[int, Front | None]:
    """How many octets of IP header are sent, and what makes headers that aren't the packets' own."""
    local, remote = sa.outside.local, sa.outside.remote
    if not sa.outside.native:
        return 0, Front(local, remote, sa.protocol, 0) if sa.protocol is IpProtocol.AH else None
    if sa.form.transport:
        return ahead, None
    front = Front(local, remote, sa.protocol, says.tos, dont_fragment=says.dont_fragment)
    return front.octets, front


def _each(inside: Callable[[int], bytes], indices: range) -> list[bytes]:
    return [inside(index) for index in indices]
