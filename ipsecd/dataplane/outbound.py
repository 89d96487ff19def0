"""The way out, from the TUN device to the network. The methods stand in the order in which a packet meets them.

 1. parse      the packet that the kernel routed to the TUN device
 2. gather     a fragment waits for the others where ports decide, as they all go by what the first one shows, and where
               it goes in transport mode, which protects whole packets
 3. decide     the SPD entry, remembered per flow: PROTECT, or BYPASS and DISCARD, which end here
 4. choose     the newest outbound SA of the entry's child that may carry the packet
    or wait    there is none: the packet is queued and the child is asked for, once
 5. fit        TCP segment size; too big for the path: an ICMP error to the sender, or fragments
 6. number     sequence numbers, never twice
 7. wrap       ESP and AH, by the form of the SA, and what stands in front: see ``wrapping``
 8. part       fragments of what is too big and goes without UDP, where the kernel cuts nothing

Dummies, which carry nothing, begin at step 6 when their time has come (RFC 4303 section 2.6).

Whatever doesn't get through is dropped under a name of ``tally.DROPS``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ipsecd import limits
from ipsecd.dataplane.dummies import Dummies
from ipsecd.dataplane.fitting import Fitted, Fitting
from ipsecd.dataplane.messages import Acquire, HardExpired, InstallOutbound, Outside, Released, SaCounters
from ipsecd.dataplane.results import Out, Result, ToTun, expiry
from ipsecd.dataplane.tally import Tally
from ipsecd.dataplane.uses import Uses
from ipsecd.dataplane.waiting import WaitingRoom
from ipsecd.dataplane.wrapping import Outer, Wrapped, outer_of, outer_of_dummy, pieces, wrap, wrap_dummy
from ipsecd.errors import PeerError, Refused, WireError
from ipsecd.ipsec import esp
from ipsecd.ipsec.hiding import dummy_octets
from ipsecd.ipsec.icmperror import answered_flow
from ipsecd.ipsec.pmtu import PathMtus
from ipsecd.ipsec.reassembly import Loss, Reassembly
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.sad import OutboundSad, sooner
from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.ipsec.spd import BYPASS, DISCARD, PROTECT, Direction, Spd
from ipsecd.ipsec.tunnel import AS_INNER, OuterHeader
from ipsecd.wire import ip
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address

_EXTENSIONS = frozenset({0, IpProtocol.ROUTING, IpProtocol.DESTINATION})


class _Decided(NamedTuple):
    """The child that protects a packet, what the outer header takes from it, the flow that the packet counts as, and
    whether an SA may be asked for."""

    child: str
    header: OuterHeader
    flow: Flow
    may_ask: bool


class Outbound:
    """The state of the road out: SPD, outbound SAs, path MTUs, waiting packets and fragments, counters."""

    def __init__(self, iv_source: esp.IvSource, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE) -> None:
        self.tally = Tally()
        self._iv_source = iv_source
        self._spd = Spd()
        self._sad = OutboundSad()
        self._paths = PathMtus(pmtu_age)
        self._fragments = Reassembly()
        self._waiting = WaitingRoom()
        self._dummies = Dummies(iv_source)
        self._uses = Uses()
        self._headers: dict[str, OuterHeader] = {}  # by child
        self._fitting = Fitting(self.tally, tun_mtu=tun_mtu)

    # --- the road -----------------------------------------------------------------------------------------------

    def carry(self, packets: Iterable[bytes], now: float) -> list[Result]:
        """Send what the TUN device gave."""
        results: list[Result] = []
        for packet in packets:
            self.tally.paths["from-tun"] += 1
            self._send(packet, now, results, again=False)
        return results

    def carry_again(self, packet: bytes, now: float) -> list[Result]:
        """Send a packet that this road had sealed, and that didn't fit the link then."""
        results: list[Result] = []
        self.tally.paths["sent-again"] += 1
        self._send(packet, now, results, again=True)
        return results

    def _send(self, packet: bytes, now: float, results: list[Result], *, again: bool) -> None:
        try:
            packet, inner = self._parse(packet)
            if inner.is_fragment and (self._ports_decide(packet, inner) or self._goes_whole(inner)):
                whole = self._gather(packet, inner, now)
                if whole is None:
                    return
                packet, inner = self._parse(whole)
            decided = self._decide(packet, inner, again=again)
            sa = self._choose(decided, now, results)
            if sa is None:
                self._wait(decided, packet, now, results)
                return
            fitted = self._fit(sa, packet, inner, decided.header, now, results)
            own, around = self._number(sa, len(fitted.packets), results)
            says = outer_of(sa, decided.header, inner, may_fragment=fitted.may_fragment)
            for after, piece in enumerate(fitted.packets):
                numbers = own + after, around + after
                wrapped = wrap(sa, *numbers, piece, inner, says, fitted.most, self._iv_source)
                self._carry(sa, wrapped, now)
                self._part(sa, wrapped, says, piece, now, results)
        except (Refused, PeerError) as refusal:
            self.tally.drops[refusal.reason] += 1
            return
        self.tally.paths["sealed"] += 1
        self._expire(sa, now, results)

    def _parse(self, packet: bytes) -> tuple[bytes, ip.IpPacket]:
        try:
            inner = ip.parse(packet)
        except WireError:
            raise Refused("malformed-packet") from None
        return packet[: inner.total_octets], inner

    def _ports_decide(self, packet: bytes, inner: ip.IpPacket) -> bool:
        """Of an IPv6 fragment the header says which protocol comes next, the same in all of them; if that is another
        extension header, only the first shows the protocol."""
        protocol = packet[inner.fragment_header] if inner.fragment_header else inner.protocol
        flow = Flow.of(inner)._replace(protocol=UNSEEN if protocol in _EXTENSIONS else protocol)
        return self._spd.ports_decide(flow, Direction.OUTBOUND)

    def _goes_whole(self, inner: ip.IpPacket) -> bool:
        """Whether the SA that a fragment would go by is one of transport mode (RFC 4303 section 3.3.4)."""
        flow = Flow.of(inner)
        entry = self._spd.lookup(flow, Direction.OUTBOUND)
        sa = self._sad.choose(entry.child, flow) if entry is not None and entry.action == PROTECT else None
        return sa is not None and sa.form.transport

    def _gather(self, packet: bytes, inner: ip.IpPacket, now: float) -> bytes | None:
        gathered = self._fragments.add(packet, inner, now)
        if gathered.loss is not None:
            self.tally.drops[gathered.loss.value] += gathered.lost
        if gathered.whole is not None:
            self.tally.paths["joined"] += gathered.fragments - 1
        return gathered.whole

    def _decide(self, packet: bytes, inner: ip.IpPacket, *, again: bool) -> _Decided:
        """An ICMP error that no entry holds goes where answers to the packet it quotes go, if there is an SA for them
        (RFC 4301 section 6.2)."""
        flow = Flow.of(inner)
        entry = self._spd.lookup(flow, Direction.OUTBOUND)
        may_ask = entry is not None
        if entry is None and (answered := answered_flow(packet, inner)) is not None:
            entry, flow = self._spd.lookup(answered, Direction.OUTBOUND), answered
        if entry is None:
            raise Refused("no-policy")
        if not again:
            self.tally.entries[entry.name] += 1
        if entry.action == BYPASS:
            raise Refused("bypass-on-tun")
        if entry.action == DISCARD:
            raise Refused("policy-discard")
        return _Decided(entry.child, entry.header, flow, may_ask)

    def _choose(self, decided: _Decided, now: float, results: list[Result]) -> OutboundSa | None:
        while (sa := self._sad.choose(decided.child, decided.flow)) is not None:
            self._expire(sa, now, results)
            if not sa.over:
                return sa
        return None

    def _wait(self, decided: _Decided, packet: bytes, now: float, results: list[Result]) -> None:
        child, flow = decided.child, decided.flow
        if not decided.may_ask:
            raise Refused("no-sa-for-error")
        entered = self._waiting.enter(child, packet, now)
        if entered.drop:
            self.tally.drops[entered.drop] += 1
        if entered.acquire:
            results.append(Acquire(child, *flow.addresses(), flow.protocol, *flow.ports()))

    def _fit(
        self,
        sa: OutboundSa,
        packet: bytes,
        inner: ip.IpPacket,
        header: OuterHeader,
        now: float,
        results: list[Result],
    ) -> Fitted:
        """``df: clear`` means that senders needn't know what fits."""
        path = self._paths.to(sa.outside.remote, now)
        fitted = self._fitting.fit(sa, self._spd, packet, inner, path, now, tell=header.df != "clear")
        if fitted.answer is not None:
            results.append(ToTun(fitted.answer))
        if not fitted.packets:
            raise Refused("too-big")
        return fitted

    def _number(self, sa: OutboundSa, count: int, results: list[Result]) -> tuple[int, int]:
        """The first of so many sequence numbers, and of as many of the AH around the SA, if any."""
        own = sa.take(count)
        around = 0 if sa.around is None or own is None else sa.around.take(count)
        if own is None or around is None:
            sa.lifetime.over = True
            results.append(HardExpired(sa.inbound, "packets"))
            raise Refused("sequence-exhausted")
        return own, around

    def _carry(self, sa: OutboundSa, wrapped: Wrapped, now: float) -> None:
        sa.lifetime.carry(1, wrapped.octets, now)
        if sa.around is not None:
            sa.around.lifetime.carry(1, wrapped.signed, now)

    def _part(
        self, sa: OutboundSa, wrapped: Wrapped, says: Outer, packet: bytes, now: float, results: list[Result]
    ) -> None:
        """If the first fragment doesn't fit the link, no other does: so it stands for the whole packet then."""
        outside, (tos, df) = sa.outside, says
        if df or not outside.native:
            self.tally.paths["datagrams"] += 1
            results.append(Out(wrapped.datagram, outside, tos, df, packet))
            return
        parts = pieces(wrapped, self._paths.to(outside.remote, now), self._iv_source)
        self.tally.paths["datagrams"] += len(parts)
        for part in parts:
            results.append(Out(part, outside, tos, df, packet))
            packet = b""

    def _send_dummy(self, sa: OutboundSa, now: float, results: list[Result]) -> None:
        """It uses up the SA as a packet does, and isn't use of it."""
        octets = dummy_octets(sa, self._paths.to(sa.outside.remote, now), self._iv_source)
        if octets < 1:
            return
        try:
            own, around = self._number(sa, 1, results)
        except Refused:  # which the control side is told of; no packet is lost
            return
        says = outer_of_dummy(sa, self._headers.get(pattern_id(sa.child), AS_INNER))
        wrapped = wrap_dummy(sa, own, around, octets, says, self._iv_source)
        sa.dummies += 1
        self.tally.paths["dummies"] += 1
        sa.lifetime.spend(1, wrapped.octets)
        if sa.around is not None:
            sa.around.dummies += 1
            sa.around.lifetime.spend(1, wrapped.signed)
        self._part(sa, wrapped, says, b"", now, results)
        self._expire(sa, now, results)

    # --- what the control side says -----------------------------------------------------------------------------

    def install(self, message: InstallOutbound, now: float) -> list[Result]:
        """Use a new SA for all that comes, beginning with what waits for it. Raises LocalError if it can't be."""
        m = message
        sa = OutboundSa(m.spi, m.inbound, m.child, m.keys, m.local, m.remote, m.outside, m.limits, now, m.form, m.tfc)
        self._sad.add(sa)
        self._dummies.begin(sa, now)
        if m.watched:
            self._uses.begin(m.spi, m.inbound, sa.lifetime, now)
        results: list[Result] = []
        if sa.over:
            return results
        for packet in self._waiting.served(message.child):
            self._send(packet, now, results, again=True)
        return results

    def remove(self, spi: int, inbound: int) -> None:
        sa = self._sad.remove(spi, inbound)
        self._dummies.end(spi, inbound)
        self._uses.end(spi, inbound)
        if sa is not None and sa.lifetime.last_used is not None:
            self._waiting.lost(sa.child)

    def move(self, inbound: tuple[int, ...], outside: Outside) -> None:
        """The pairs with these inbound SPIs use another path from now on."""
        for sa in self._sad:
            if sa.inbound in inbound:
                sa.outside = outside

    def set_spd(self, spd: Spd) -> None:
        self._spd = spd
        self._headers = {entry.child: entry.header for entry in spd.entries}
        self.tally.drops["policy-changed"] += self._waiting.keep_only({entry.child for entry in spd.entries})

    def give_up(self, child: str) -> None:
        self.tally.drops["gave-up"] += len(self._waiting.leave(child))

    def coming(self, child: str, now: float) -> None:
        """It has an SA in a moment."""
        self._waiting.coming(child, now)

    def release(self, child: str) -> list[Result]:
        """Hand back what waits for this child."""
        packets = self._waiting.release(child)
        self.tally.paths["released"] += len(packets)
        return [Released(child, packet) for packet in packets]

    def set_link_mtu(self, remote: Address, mtu: int) -> None:
        self._paths.link(remote, mtu)

    def set_path_mtu(self, remote: Address, mtu: int, now: float) -> None:
        self._paths.learn(remote, mtu, now)

    # --- time ---------------------------------------------------------------------------------------------------

    def timer(self, now: float) -> list[Result]:
        """What time alone has brought about."""
        results: list[Result] = []
        for sa in self._sad.due(now):
            self._expire(sa, now, results)
        for sa in self._dummies.due(now):
            if not self._sad.replaced(sa):  # else nothing but dummies would go by it
                self._send_dummy(sa, now, results)
        if late := self._fragments.expire(now):
            self.tally.drops[Loss.LATE.value] += late
        self._uses.tell(now, results)
        return results

    def deadline(self) -> float | None:
        """When ``timer`` has something to do next."""
        of_sas = sooner(sooner(self._sad.alarms.next(), self._dummies.next()), self._uses.next())
        return sooner(of_sas, self._fragments.deadline())

    def _expire(self, sa: OutboundSa, now: float, results: list[Result]) -> None:
        report = expiry(sa.lifetime, sa.inbound, now)
        if report is not None:
            results.append(report)
        if sa.around is not None:
            self._expire(sa.around, now, results)

    # --- counters -----------------------------------------------------------------------------------------------

    def counters(self) -> tuple[SaCounters, ...]:
        """How much each SA has carried."""
        return tuple(
            SaCounters(sa.spi, sa.inbound, "out", life.packets, life.octets, sa.sequence, life.last_used, sa.dummies)
            for sa in self._sad
            for life in (sa.lifetime,)
        )

    @property
    def waiting(self) -> int:
        """Packets queued for a negotiation now."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Fragments that wait for the rest of their packet now."""
        return self._fragments.held
