"""The way in for datagrams that the kernel hands over at once, and for native packets that were read so: those of one
sender and one size, one behind the other.

Those of one SA that follow each other are opened, or with AH verified, as rows of one buffer, and take the steps of
``inbound``, in the same order, together, as far as they are alike. Fewer than are worth that take them one by one, but
quickly too, as what policy says of a flow is remembered. What isn't plain goes that road, datagram by datagram, or
packet by packet once it is open: the first datagram of an SA or of a new address of its peer, a number seen before, a
wrong ICV, a limit that is near, congestion marks, a flow that hasn't been seen; and always AH around ESP, and ciphers
that open no runs.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from ipsecd import limits
from ipsecd.dataplane.alike import Alike, plain_header
from ipsecd.dataplane.columns import MOST
from ipsecd.dataplane.grouping import Grouping
from ipsecd.dataplane.inbound import Inbound
from ipsecd.dataplane.joining import Heads, Missing, joined, same_flow
from ipsecd.dataplane.known import Key, known_as, known_behind, known_within
from ipsecd.dataplane.messages import Outside
from ipsecd.dataplane.opened import OpenedOne, OpenedRun
from ipsecd.dataplane.opening import Opener
from ipsecd.dataplane.results import Result, ToTun, ToTunRun
from ipsecd.dataplane.unwrapping import Came, Inside
from ipsecd.dataplane.verifying import Verifier
from ipsecd.errors import PeerError, Refused
from ipsecd.ipsec.mending import mended
from ipsecd.ipsec.outer import Front
from ipsecd.ipsec.sa import InboundSa
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import PROTECT, Spd
from ipsecd.ipsec.tunnel import ECN_OUT, Decapsulated
from ipsecd.wire import ip
from ipsecd.wire.checksum import ones_sum
from ipsecd.wire.esp import HEADER_OCTETS, TRAILER_OCTETS
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import FLAGS_AT, SYN

_SPI = struct.Struct("!I")
_AH_SPI = 4  # octets of AH in front of its SPI and number
_ECN = 3  # its bits in the TOS
_WORTH = 4  # packets that one by one would cost more
_ENOUGH = MOST // 2  # datagrams that wait for no more: one read may bring as many


class RunsIn(Inbound):
    """The road in, for datagrams and for runs. ``joins`` has the protocols of which the TUN device takes packets that
    stand for many."""

    def __init__(self, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE, joins: Collection[int] = ()) -> None:
        super().__init__(tun_mtu=tun_mtu, pmtu_age=pmtu_age)
        self._joins = frozenset(joins)
        buffer = np.zeros(limits.NATIVE_READ + limits.NATIVE_BUFFER, np.uint8)
        self._octets = buffer.data
        self._grouping = Grouping(buffer)
        self._opener, self._verifier = Opener(buffer), Verifier(buffer)
        self._filled = 0  # octets of datagrams that wait at the start of the buffer
        self._latest = 0  # octets of the last read among them
        self._kind: Alike | None = None  # what these have in common
        self._fronts: dict[tuple[int, int, int], tuple[Outside, Front]] = {}  # by SPI, protocol and TOS
        self._known: dict[Key, str | None] = {}  # the SPD entry by which plain packets pass, None if they may not

    @property
    def received(self) -> memoryview:
        """Where the next read goes, behind what waits."""
        return self._octets[self._filled : self._filled + limits.RECEIVE_BUFFER]

    @property
    def room(self) -> memoryview:
        """Where native packets go, one behind the other, likewise: at least as much, and it may be filled."""
        return self._octets[self._filled :]

    def carry_read(
        self,
        octets: int,
        segment: int,
        outside: Outside,
        tos: int,
        now: float,
        *,
        natt: bool,
        head: int = 0,
        ah: bool = False,
    ) -> Iterable[Result]:
        """Receive what one read put into ``received``: ``octets``, as datagrams of ``segment`` octets each but for the
        last, which may have less. The rest as in ``carry``. Each result is to be carried out before the next is taken,
        as they share their buffers. Datagrams that are all of one size wait for others like them until ``end``, or
        until something else comes: single ones for single ones, and several for more of them, as who sends more than
        leaves in one call sends what is left over first. ``head`` is how many octets of each are an IP header, with
        ``ah`` one of AH."""
        kind = Alike(segment, outside, tos, natt, head, ah)
        single = octets == segment == self._latest
        if self._filled and (kind != self._kind or not (single or octets > self._latest)):
            return self._after_others(octets, kind, now)
        return self._gather(octets, kind, now)

    def carry_native_read(self, octets: int, segment: int, outside: Outside, now: float) -> Iterable[Result]:
        """Likewise what was read into ``room``: IP packets with ESP or AH, each with the header of the first, but for
        lengths, Identification, TTL and checksum. The rest as in ``carry_native``."""
        at = self._filled
        head, tos, ah = plain_header(self._octets[at : at + segment])
        return self.carry_read(octets, segment, outside, tos, now, natt=bool(head), head=head, ah=ah)

    def end(self, now: float) -> Iterable[Result]:
        """Receive what waits for others like it."""
        octets, kind, self._filled = self._filled, self._kind, 0
        if not octets or kind is None:
            return ()
        if octets == kind.segment:
            return self._receive_one(0, octets, kind, now)
        return self._receive_all(octets, kind, now)

    def _after_others(self, octets: int, kind: Alike, now: float) -> Iterator[Result]:
        """What was read isn't like what waits before it."""
        start = self._filled
        yield from self.end(now)
        self._octets[:octets] = self._octets[start : start + octets]
        yield from self._gather(octets, kind, now)

    def _gather(self, octets: int, kind: Alike, now: float) -> Iterable[Result]:
        segment = kind.segment
        if not octets:  # anybody can send a datagram of nothing
            return self.carry(b"", kind.outside, kind.tos, now, natt=kind.natt)
        all_there = self._filled and octets > self._latest
        self._kind, self._latest = kind, octets
        self._filled += octets
        if all_there or octets % segment or self._filled >= min(limits.RECEIVE_BUFFER, _ENOUGH * segment):
            return self.end(now)
        return ()

    def _receive_all(self, octets: int, kind: Alike, now: float) -> Iterator[Result]:
        """Receive all that stands at the start of the buffer."""
        segment, outside, _, _, head, ah = kind
        ah = ah or not (head or self._octets[2] or self._octets[3])
        openers = self._verifier if ah else self._opener
        for at, count in self._stretches(octets, kind, ah):
            sa = self._sa(at, segment, outside, head, ah, count, now) if count >= _WORTH else None
            if sa is not None and (run := openers.open(sa, at, segment, count, head)) is not None:
                yield from self._receive_run(sa, run, kind, now)
                continue
            for start in range(at, at + count * segment, segment):
                yield from self._receive_one(start, min(segment, octets - start), kind, now)

    def _stretches(self, octets: int, kind: Alike, ah: bool) -> Iterator[tuple[int, int]]:
        """Where datagrams begin that are worth being opened together, or one by one, and how many they are."""
        segment, spi_at = kind.segment, kind.head + _AH_SPI if ah else kind.head
        full = octets // segment
        if not kind.natt or segment < spi_at + HEADER_OCTETS or full < _WORTH:
            full = 0
        for first in range(0, full, MOST):
            yield from self._grouping.stretches(first * segment, segment, min(MOST, full - first), spi_at)
        for at in range(full * segment, octets, segment):
            yield at, 1

    def _sa(
        self, at: int, octets: int, outside: Outside, head: int, ah: bool, count: int, now: float
    ) -> InboundSa | None:
        """The SA of plain datagrams."""
        (spi,) = _SPI.unpack_from(self._octets, at + head + _AH_SPI if ah else at + head)
        sa = self._sad.get(spi)
        if sa is None or not sa.used:
            return None
        if outside is not sa.seen_outside:
            if outside != sa.seen_outside:
                return None
            sa.seen_outside = outside  # equal, and next time perhaps the same
        if ah:
            counted = self._verifier.counted(sa, octets, head)
        elif sa.run is None:
            return None
        else:
            cipher = sa.cipher
            counted = octets - head - HEADER_OCTETS - cipher.iv_octets - cipher.icv_octets
        if counted <= TRAILER_OCTETS or not sa.lifetime.bears(count, count * counted, now):
            return None
        return sa

    def _receive_one(self, at: int, octets: int, kind: Alike, now: float) -> list[Result]:
        _, outside, tos, natt, head, ah = kind
        whole, opened, sa = self._octets, None, None
        if natt and octets > head + HEADER_OCTETS:
            # in UDP its reserved field tells AH from ESP (see ``udpencap``), and no SA takes IKE for AH
            ah = ah or not (head or whole[at + 2] or whole[at + 3])
            sa = self._sa(at, octets, outside, head, ah, 1, now)
            if sa is not None:
                opened = (self._verifier if ah else self._opener).open_one(sa, at, octets, head)
        if sa is None or opened is None:
            datagram = whole[at : at + octets].tobytes()
            if not outside.local_port:
                return self.carry_native(datagram, outside, now)
            return self.carry(datagram, outside, tos, now, natt=natt)
        self.tally.paths["from-native" if head else "from-udp"] += 1
        results = self._note_plain(sa, opened.next_header, 1, opened.counted, now)
        results += self._pass_one(sa, opened, tos, now)
        return results

    def _receive_run(self, sa: InboundSa, run: OpenedRun, kind: Alike, now: float) -> list[Result]:
        count, next_header, number, tos = len(run.rows), run.next_header, run.number, kind.tos
        paths = self.tally.paths
        paths["from-native" if kind.head else "from-udp"] += count
        paths["runs-in"] += 1
        results = self._note_plain(sa, next_header, count, count * run.counted, now)
        first, front = run.views[0][: run.inner], None
        if not sa.form.transport:
            key = known_as(sa.spi, next_header, first)
        elif run.own:
            key = known_within(sa.spi, next_header, run.own, first)
        else:
            front = self._front(sa, next_header, tos)
            key = known_behind(sa.spi, next_header, front.ends, first)
        heads = self._alike(sa, run, key, tos, front) if key is not None else None
        entry = None
        if heads is not None and key is not None:
            entry = self._entry(sa, key, _whole(sa, front, first, number))
        if heads is None or entry is None:
            for at, view in enumerate(run.views, number):
                one = OpenedOne(view[: run.inner], next_header, run.counted, at, run.own)
                results += self._pass_one(sa, one, tos, now)
            return results
        self.tally.entries[entry] += count
        paths["to-tun"] += count
        results += self._deliver_run(sa, run, heads, front)
        return results

    def _note_plain(self, sa: InboundSa, next_header: int, packets: int, octets: int, now: float) -> list[Result]:
        self._carry(sa, next_header, packets, octets, now)
        self._alive.add(sa.spi)
        results: list[Result] = []
        if now >= self._alive_again:
            self._tell_alive(now, results)
        return results

    def _pass_one(self, sa: InboundSa, one: OpenedOne, tos: int, now: float) -> Iterable[Result]:
        """What is authentic and fresh, from step 5 on."""
        packet, next_header, _, number, own = one
        whole: bytes | memoryview = packet
        if not sa.form.transport:
            key = known_as(sa.spi, next_header, packet)
            if key is not None and tos & _ECN and _marks(packet, tos):
                key = None
        elif own:
            key = known_within(sa.spi, next_header, own, packet)
        else:
            front = self._front(sa, next_header, tos)
            key = known_behind(sa.spi, next_header, front.ends, packet)
            if key is not None:
                whole = _whole(sa, front, packet, number)
        if key is not None:
            entry = self._entry(sa, key, whole)
            if entry is not None:
                self.tally.entries[entry] += 1
                self.tally.paths["to-tun"] += 1
                return (ToTun(whole),)
        came = Came(sa.seen_outside, tos, packet[:own].tobytes())
        try:
            return self._pass(sa, Inside(next_header, packet[own:].tobytes(), number), came, now)
        except (PeerError, Refused) as error:
            self.tally.drops[error.reason] += 1
            return ()

    def _front(self, sa: InboundSa, protocol: int, tos: int) -> Front:
        """The headers that are made anew in transport mode."""
        outside, key = sa.seen_outside, (sa.spi, protocol, tos)
        known = self._fronts.get(key)
        if known is not None and known[0] is outside:
            return known[1]
        if len(self._fronts) >= limits.MAX_FLOWS:
            self._fronts.clear()
        front = Front(outside.remote, outside.local, protocol, tos)
        self._fronts[key] = outside, front
        return front

    def _entry(self, sa: InboundSa, key: Key, packet: bytes | memoryview) -> str | None:
        """The SPD entry by which a plain packet passes, as others of its flow did; None if none lets it."""
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= limits.MAX_FLOWS:
            self._known.clear()
        flow = Flow.of(ip.parse(packet))
        entry = self._spd.received(flow, sa.child) if sa.selectors.hold_inbound(flow) else None
        passes = entry is not None and entry.action == PROTECT and entry.child == sa.child
        found = self._known[key] = entry.name if entry is not None and passes else None
        return found

    def _alike(self, sa: InboundSa, run: OpenedRun, key: Key, tos: int, front: Front | None) -> Heads | None:
        """The headers, if all packets are of the first one's flow and none has to be looked at by itself."""
        first, protocol = run.views[0], key[1]
        if protocol not in (IpProtocol.TCP, IpProtocol.UDP):
            return None
        if tos & _ECN and not sa.form.transport and _marks(first, tos):
            return None
        missing = None if front is None else _missing(sa, front, run)
        heads = same_flow(run.rows, first[0] >> 4, protocol, missing)
        if heads is None:
            return None
        if protocol == IpProtocol.TCP and heads.differing(heads.at + FLAGS_AT) & SYN:
            return None  # step 9 looks at each of those
        return heads

    def _deliver_run(self, sa: InboundSa, run: OpenedRun, heads: Heads, front: Front | None) -> list[Result]:
        results: list[Result] = []
        done = 0
        for part in joined(run.rows, heads) if heads.protocol in self._joins else ():
            results += _singly(sa, run, front, done, part.start)
            payloads = run.payloads(heads.header, part.start, part.end)
            results.append(ToTunRun(part.head, part.header, payloads))
            done = part.end
        results += _singly(sa, run, front, done, len(run.views))
        return results

    # --- what the control side says -----------------------------------------------------------------------------

    def remove(self, spi: int) -> None:
        self._known.clear()
        self._fronts.clear()
        super().remove(spi)

    def set_spd(self, spd: Spd) -> None:
        self._known.clear()
        super().set_spd(spd)


def _whole(sa: InboundSa, front: Front | None, packet: memoryview, number: int) -> bytes | memoryview:
    """A packet with its IP header."""
    if front is None:
        return packet
    whole = front.of(len(packet), number) + packet
    return whole if sa.form.original is None else mended(whole, ip.parse(whole), sa.form.original)


def _singly(sa: InboundSa, run: OpenedRun, front: Front | None, start: int, end: int) -> list[ToTun]:
    """Packets of a run one by one."""
    views = enumerate(run.views[start:end], run.number + start)
    return [ToTun(_whole(sa, front, view[: run.inner], number)) for number, view in views]


def _missing(sa: InboundSa, front: Front, run: OpenedRun) -> Missing:
    """The IP headers of a run. Checksums are over the addresses that its sender saw."""
    inner, number = run.inner, run.number
    summed = front.ends if sa.form.original is None else b"".join(each.packed for each in sa.form.original)
    return Missing(front.octets, lambda row: front.of(inner, number + row), ones_sum(summed))


def _marks(packet: memoryview, tos: int) -> bool:
    """Whether the congestion mark of the way changes that of the packet, or something is odd about it (RFC 6040 section
    4.2)."""
    ecn = (packet[1] if packet[0] >> 4 == 4 else packet[1] >> 4) & _ECN
    return ECN_OUT[ecn, tos & _ECN] != Decapsulated(ecn)
