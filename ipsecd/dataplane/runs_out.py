"""The way out for packets that stand for many: a TCP or UDP payload that the kernel leaves for us to cut.

The steps are those of ``outbound``, in the same order, each taken once for all packets of the run. What isn't plain
goes that road, packet by packet: without an SA, with a limit near, too big for the path, or a cipher that works
otherwise.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import partial
from typing import NamedTuple

from ipsecd import limits
from ipsecd.dataplane.columns import Octets
from ipsecd.dataplane.cutting import cut_full
from ipsecd.dataplane.gathering import Gathered, Way, plain
from ipsecd.dataplane.outbound import NEXT_HEADER, Outbound
from ipsecd.dataplane.results import Out, OutRun, Result
from ipsecd.dataplane.sealing import LAST_NUMBER, Sealer
from ipsecd.errors import WireError
from ipsecd.ipsec import esp
from ipsecd.ipsec.pmtu import tunnel_mtu
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import PROTECT, Direction, SpdEntry
from ipsecd.wire import ip
from ipsecd.wire.esp import trailer
from ipsecd.wire.offload import Cut, Gso, Offload, decode, finish, plan, segment, segments
from ipsecd.wire.tcp import FLAGS_AT, SYN

_WORTH = 3  # packets that one by one would cost more
_REMEMBERED = 1.0  # seconds; a path MTU may have aged by then


class _Run(NamedTuple):
    """Packets that go out together: how they are cut, what they look like, by which SA they go, and the sequence number
    of the first."""

    cut: Cut
    inner: ip.IpPacket
    entry: SpdEntry
    sa: OutboundSa
    first: int


class RunsOut(Outbound):
    """The road out, for packets and for runs."""

    def __init__(self, iv_source: esp.IvSource, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE) -> None:
        super().__init__(iv_source, tun_mtu=tun_mtu, pmtu_age=pmtu_age)
        self._sealer = Sealer()
        self._ways: dict[Hashable, Way | None] = {}
        self._until = 0.0  # when time forgets them
        self._gathered: Gathered | None = None

    def carry_read(self, packet: memoryview, head: bytes | bytearray, now: float) -> Iterator[Result]:
        """Send what the TUN device gave in one read, its virtio header in ``head``. Each result is to be carried out
        before the next is taken, as runs share their buffer. Plain packets wait for others like them until ``end``, or
        until something else comes."""
        try:
            offload = decode(head)
            if offload.gso == Gso.NONE and (way := self._way(packet, now)) is not None:
                yield from self._line_up(packet, offload, way, now)
                return
            yield from self.end(now)
            run = self._plan(packet, offload, now)
            packets = () if run else segments(packet, offload)
        except WireError:
            self.tally.paths["from-tun"] += 1
            self.tally.drops["malformed-packet"] += 1
            return
        if run is None:
            yield from self.carry(packets, now)
        else:
            yield from self._send_run(packet, run, now)

    def end(self, now: float) -> Iterator[Result]:
        """Send what waits for others like it."""
        gathered, self._gathered = self._gathered, None
        if gathered is None:
            return
        way, layout, count = gathered.way, gathered.layout, len(gathered.entries)
        sa, encrypted = way.sa, count * layout.rows.shape[1]
        if (
            count < _WORTH
            or not sa.lifetime.bears(count, encrypted, now)
            or sa.sequence + count > LAST_NUMBER
            or (first := sa.take(count)) is None
        ):
            yield from self.carry(gathered.packets(), now)
            return
        sa.lifetime.carry(count, encrypted, now)
        self.tally.entries.update(gathered.entries)
        self.tally.paths.update({"from-tun": count, "datagrams": count, "sealed": count, "runs-out": 1})
        datagrams = self._sealer.seal(layout, sa, first, count)
        yield OutRun(datagrams, layout.octets, sa.outside, way.tos, way.df, gathered.packets)

    def forget(self) -> None:
        """Something has changed that packets depend on."""
        self._ways.clear()

    def _line_up(self, packet: memoryview, offload: Offload, way: Way, now: float) -> Iterator[Result]:
        gathered, octets = self._gathered, len(packet)
        if gathered is not None and not gathered.takes(way, octets):
            yield from self.end(now)
            gathered = None
            if (again := self._way(packet, now)) is None:  # what was sent has changed something
                yield from self.carry(segments(packet, offload), now)
                return
            way = again
        if gathered is None:
            layout = self._sealer.layout(way.sa.cipher, octets, way.next_header)
            gathered = self._gathered = Gathered(way, layout, [])
        row = gathered.layout.plain[len(gathered.entries)]
        row[:octets] = packet
        finish(row[:octets], offload)
        gathered.entries.append(way.entry)

    def _way(self, packet: memoryview, now: float) -> Way | None:
        """How a plain packet goes, as others of its flow went a moment ago; None if it isn't plain."""
        shown = plain(packet)
        if shown is None:
            return None
        if now >= self._until or len(self._ways) >= limits.MAX_FLOWS:
            self._ways.clear()
            self._until = now + _REMEMBERED
        try:
            way = self._ways[shown.flow]
        except KeyError:
            way = self._ways[shown.flow] = self._find_way(packet, shown.version, now)
        return way if way is not None and shown.octets <= way.room and not way.sa.lifetime.over else None

    def _find_way(self, packet: memoryview, version: int, now: float) -> Way | None:
        inner = ip.parse(packet)
        flow = Flow.of(inner)
        entry = self._spd.lookup(flow, Direction.OUTBOUND)
        sa = self._sad.choose(entry.child, flow) if entry is not None and entry.action == PROTECT else None
        if entry is None or sa is None or sa.cipher.run is None:
            return None
        remote = sa.outside.remote
        room = tunnel_mtu(self._paths.to(remote, now), remote.version, sa.cipher)
        header = entry.header
        return Way(entry.name, sa, NEXT_HEADER[version], header.tos(inner), header.dont_fragment(inner), room)

    def _plan(self, packet: memoryview, offload: Offload, now: float) -> _Run | None:
        if offload.gso == Gso.NONE:
            return None
        cut = plan(packet, offload)
        inner = ip.parse(packet)
        if inner.transport_offset != cut.transport or inner.total_octets != len(packet) or inner.is_fragment:
            return None
        if cut.full < _WORTH or (cut.tcp and packet[cut.transport + FLAGS_AT] & SYN):
            return None
        flow = Flow.of(inner)
        entry = self._spd.lookup(flow, Direction.OUTBOUND)
        if entry is None or entry.action != PROTECT:
            return None
        sa = self._sad.choose(entry.child, flow)
        if sa is None or not self._is_plain(sa, cut, now) or (first := sa.take(cut.count)) is None:
            return None
        return _Run(cut, inner, entry, sa, first)

    def _is_plain(self, sa: OutboundSa, cut: Cut, now: float) -> bool:
        octets = cut.header + cut.segment
        remote = sa.outside.remote
        encrypted = octets + len(trailer(octets, sa.cipher.align, 0))
        return (
            sa.cipher.run is not None
            and octets <= tunnel_mtu(self._paths.to(remote, now), remote.version, sa.cipher)
            and sa.lifetime.bears(cut.count, cut.count * encrypted, now)
            and sa.sequence + cut.count <= LAST_NUMBER
        )

    def _send_run(self, packet: memoryview, run: _Run, now: float) -> Iterator[Result]:
        cut, inner, entry, sa, first = run
        octets, next_header = cut.header + cut.segment, NEXT_HEADER[inner.version]
        tos, df = entry.header.tos(inner), entry.header.dont_fragment(inner)
        self.tally.paths["from-tun"] += cut.count
        self.tally.entries[entry.name] += cut.count
        encrypted = cut.full * (octets + len(trailer(octets, sa.cipher.align, 0)))
        tail = last = b""
        if cut.tail:
            tail = segment(packet, cut, cut.full)
            last, of_last = esp.seal(sa, first + cut.full, next_header, tail, self._iv_source)
            encrypted += of_last
        sa.lifetime.carry(cut.count, encrypted, now)
        self.tally.paths["datagrams"] += cut.count
        self.tally.paths["sealed"] += cut.count
        layout = self._sealer.layout(sa.cipher, octets, next_header)
        behind = b""
        for start in range(0, cut.full, layout.most):
            count = min(layout.most, cut.full - start)
            behind = last if start + count == cut.full and count < layout.most else b""
            rows = layout.rows[:count]
            cut_full(packet, cut, rows, start)
            datagrams = self._sealer.seal(layout, sa, first + start, count, behind)
            self.tally.paths["runs-out"] += 1
            inside = partial(_inside, rows, octets, tail if behind else b"")
            yield OutRun(datagrams, layout.octets, sa.outside, tos, df, inside)
        if last and not behind:
            yield Out(last, sa.outside, tos, df, tail)


def _inside(rows: Octets, octets: int, tail: bytes) -> list[bytes]:
    packets = [row[:octets].tobytes() for row in rows]
    return [*packets, tail] if tail else packets
