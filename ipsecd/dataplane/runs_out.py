"""The way out for packets that stand for many: a TCP or UDP payload that the kernel leaves for us to cut.

The steps are those of ``outbound``, in the same order, each taken once for all packets of the run. What isn't plain
goes that road, packet by packet: without an SA, with a limit near, too big for the path, or a cipher that works
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from ipsecd import limits
from ipsecd.dataplane.columns import Octets
from ipsecd.dataplane.cutting import cut_full
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
from ipsecd.wire.offload import Cut, Gso, Offload, decode, plan, segment, segments

_WORTH = 3  # packets that one by one would cost more
_TCP_FLAGS, _SYN = 13, 0x02


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

    def carry_read(self, packet: memoryview, head: bytes | bytearray, now: float) -> Iterator[Result]:
        """Send what the TUN device gave in one read, its virtio header in ``head``. Each result is to be carried out
        before the next is taken, as runs share their buffer."""
        try:
            offload = decode(head)
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

    def _plan(self, packet: memoryview, offload: Offload, now: float) -> _Run | None:
        if offload.gso == Gso.NONE:
            return None
        cut = plan(packet, offload)
        inner = ip.parse(packet)
        if inner.transport_offset != cut.transport or inner.total_octets != len(packet) or inner.is_fragment:
            return None
        if cut.full < _WORTH or (cut.tcp and packet[cut.transport + _TCP_FLAGS] & _SYN):
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
