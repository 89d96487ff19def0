"""The way in, from the network to the TUN device. The methods stand in the order in which a packet meets them.

 1. classify   the datagram: NAT keepalive, IKE (to the control side) or ESP (RFC 3948 section 2)
 2. find       the inbound SA by SPI
 3. open       replay check, ICV, replay commit, padding
 4. note       lifetime, first use, where the peer sends from, that the peer lives
 5. unwrap     the packet inside, unless it's a dummy
 6. mark       congestion on the way, carried inside (RFC 6040)
 7. select     the packet lies within its SA's selectors (RFC 4301 section 5.2)
 8. decide     the SPD entry that holds the packet wants just this protection, or leaves it to the SA
 9. deliver    TCP segment size; one packet for the TUN device, or several if its source had cut it

Nothing before step 3 changes any state but counters; nothing gets past it that isn't authentic and fresh. Whatever
doesn't get through is dropped under a name of ``tally.DROPS``.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.dataplane.messages import (
    AhKeys,
    IkeDatagram,
    InboundUsed,
    InstallInbound,
    Outside,
    PeerAlive,
    PeerMoved,
    SaCounters,
)
from ipsecd.dataplane.results import Result, ToTun, expiry
from ipsecd.dataplane.tally import Tally
from ipsecd.errors import LocalError, PeerError, Refused, WireError
from ipsecd.ipsec import esp, pmtu
from ipsecd.ipsec.fragment import fragments
from ipsecd.ipsec.icmperror import answered_flow
from ipsecd.ipsec.pmtu import PathMtus, least, tcp_mss
from ipsecd.ipsec.sa import InboundSa
from ipsecd.ipsec.sad import InboundSad, sooner
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import BYPASS, DISCARD, Spd
from ipsecd.ipsec.tunnel import inner_packet, propagate_ecn
from ipsecd.wire import ip
from ipsecd.wire.esp import EspHeader, decode_header
from ipsecd.wire.form import TUNNEL
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address
from ipsecd.wire.tcp import clamp_mss
from ipsecd.wire.udpencap import Kind, classify, ike_message


class Inbound:
    """The state of the road in: SPD, inbound SAs, path MTUs, who was heard of, counters."""

    def __init__(self, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE) -> None:
        self.tally = Tally()
        self._tun_mtu = tun_mtu
        self._spd = Spd()
        self._sad = InboundSad()
        self._paths = PathMtus(pmtu_age)
        self._alive: set[int] = set()
        self._alive_again = float("-inf")

    # --- the road -----------------------------------------------------------------------------------------------

    def carry(self, datagram: bytes, outside: Outside, tos: int, now: float, *, natt: bool) -> list[Result]:
        """Receive one datagram. ``outside`` is where it came from and to, ``tos`` the TOS or traffic class octet of
        its IP header, ``natt`` whether it came to the socket where ESP is spoken."""
        results: list[Result] = []
        self.tally.paths["from-udp"] += 1
        try:
            if self._classify(datagram, outside, results, natt=natt):
                self._receive(datagram, outside, tos, now, results)
        except (PeerError, Refused) as error:
            self.tally.drops[error.reason] += 1
        return results

    def _classify(self, datagram: bytes, outside: Outside, results: list[Result], *, natt: bool) -> bool:
        kind = classify(datagram, natt)
        if kind is Kind.RUNT:
            raise PeerError("runt")
        if kind is Kind.ESP:
            return True
        self.tally.paths[kind.value] += 1
        if kind is Kind.IKE:
            data = ike_message(datagram, natt)
            results.append(
                IkeDatagram(data, outside.local, outside.local_port, outside.remote, outside.remote_port, natt)
            )
        return False

    def _receive(self, datagram: bytes, outside: Outside, tos: int, now: float, results: list[Result]) -> None:
        header = self._header(datagram)
        sa = self._find(header.spi, now, results)
        opened = esp.open_(sa, datagram, header.sequence)
        self._note(sa, opened, outside, now, results)
        results += self._pass(sa, opened.next_header, opened.payload, tos, now)

    def _pass(self, sa: InboundSa, next_header: int, payload: bytes, tos: int, now: float) -> list[Result]:
        """What is authentic and fresh, from step 5 on."""
        packet, inner = self._unwrap(next_header, payload)
        packet = self._mark(packet, inner, tos)
        self._decide(sa, *self._select(sa, packet, inner))
        return self._deliver(sa, packet, inner, now)

    def _header(self, datagram: bytes) -> EspHeader:
        try:
            return decode_header(datagram)
        except WireError as error:
            raise PeerError("runt" if error.reason == "truncated" else "unknown-spi") from None

    def _find(self, spi: int, now: float, results: list[Result]) -> InboundSa:
        sa = self._sad.get(spi)
        if sa is None:
            raise PeerError("unknown-spi")
        self._expire(sa, now, results)
        if sa.lifetime.over:
            raise Refused("sa-expired")
        return sa

    def _note(self, sa: InboundSa, opened: esp.Opened, outside: Outside, now: float, results: list[Result]) -> None:
        sa.lifetime.carry(1, opened.encrypted, now)
        self._expire(sa, now, results)
        if not sa.used:
            sa.used = True
            results.append(InboundUsed(sa.spi))
        # RFC 7296 section 2.23: only an authentic packet that is newer than all others tells where the peer is.
        if opened.newest and outside != sa.seen_outside:
            sa.seen_outside = outside
            if outside != sa.outside:
                results.append(PeerMoved(sa.spi, outside))
        self._alive.add(sa.spi)
        self._tell_alive(now, results)

    def _unwrap(self, next_header: int, payload: bytes) -> tuple[bytes, ip.IpPacket]:
        if next_header == IpProtocol.NO_NEXT:
            raise Refused("dummy")
        return inner_packet(next_header, payload)

    def _mark(self, packet: bytes, inner: ip.IpPacket, tos: int) -> bytes:
        marked, oddity = propagate_ecn(packet, inner, tos)
        if oddity:
            self.tally.paths[oddity] += 1
        if marked is None:
            raise PeerError("ecn-ce-on-not-ect")
        return marked

    def _select(self, sa: InboundSa, packet: bytes, inner: ip.IpPacket) -> tuple[Flow, Flow | None]:
        """The packet's flow, and the one by which it is inside if that isn't the same: an ICMP error from outside the
        selectors may be inside by the packet it quotes (RFC 4301 section 6.2), but comes from nobody on our side."""
        flow = Flow.of(inner)
        if sa.selectors.hold_inbound(flow):
            return flow, None
        answered = answered_flow(packet, inner)
        if (
            answered is None
            or sa.selectors.hold_local(flow.version, flow.source)
            or not sa.selectors.hold_inbound(answered)
        ):
            raise PeerError("outside-selectors")
        return flow, answered

    def _decide(self, sa: InboundSa, flow: Flow, answered: Flow | None, count: int = 1) -> None:
        """An entry that holds the packet itself decides; only if there is none, the one for what it quotes. ``count``
        packets are alike."""
        entry = self._spd.received(flow, sa.child)
        if entry is None and answered is not None:
            entry = self._spd.received(answered, sa.child)
        if entry is None:
            raise Refused("no-policy")
        self.tally.entries[entry.name] += count
        if entry.action == DISCARD:
            raise Refused("policy-discard")
        if entry.action == BYPASS or entry.child != sa.child:
            raise Refused("policy-mismatch")

    def _deliver(self, sa: InboundSa, packet: bytes, inner: ip.IpPacket, now: float) -> list[Result]:
        """An IPv6 packet whose fragments the peer has put together is cut again, as no router beyond will: into pieces
        that any link carries."""
        room = pmtu.room(sa, self._paths.to(sa.outside.remote, now))
        clamped = clamp_mss(inner, packet, tcp_mss(min(room, self._tun_mtu), inner.version))
        if clamped is not packet:
            self.tally.paths["mss-clamped"] += 1
        self.tally.paths["to-tun"] += 1
        if inner.fragment_header and not inner.is_fragment and len(packet) > least(inner):
            self.tally.paths["cut-again"] += 1
            return [ToTun(piece) for piece in fragments(clamped, inner, least(inner))]
        return [ToTun(clamped)]

    # --- what the control side says -----------------------------------------------------------------------------

    def install(self, message: InstallInbound, now: float) -> None:
        """Accept packets with a new SPI. Raises LocalError if that can't be."""
        m = message
        if isinstance(m.keys, AhKeys) or m.form != TUNNEL:
            raise LocalError("these roads carry ESP in tunnel mode")
        self._sad.add(InboundSa(m.spi, m.child, m.keys, m.local, m.remote, m.outside, m.limits, m.window, now))

    def remove(self, spi: int) -> None:
        self._sad.remove(spi)
        self._alive.discard(spi)

    def move(self, inbound: tuple[int, ...], outside: Outside) -> None:
        """The pairs with these inbound SPIs use another path from now on."""
        for spi in inbound:
            sa = self._sad.get(spi)
            if sa is not None:
                sa.outside = sa.seen_outside = outside

    def set_spd(self, spd: Spd) -> None:
        self._spd = spd

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
        self._tell_alive(now, results)
        return results

    def deadline(self) -> float | None:
        """When ``timer`` has something to do next."""
        return sooner(self._sad.alarms.next(), self._alive_again if self._alive else None)

    def _tell_alive(self, now: float, results: list[Result]) -> None:
        if self._alive and now >= self._alive_again:
            results.append(PeerAlive(tuple(sorted(self._alive))))
            self._alive.clear()
            self._alive_again = now + limits.PEER_ALIVE_EVERY

    def _expire(self, sa: InboundSa, now: float, results: list[Result]) -> None:
        report = expiry(sa.lifetime, sa.spi, now)
        if report is not None:
            results.append(report)

    # --- counters -----------------------------------------------------------------------------------------------

    def counters(self) -> tuple[SaCounters, ...]:
        """How much each SA has carried; ``sequence`` is the highest number seen."""
        return tuple(
            SaCounters(
                sa.spi, sa.spi, "in", sa.lifetime.packets, sa.lifetime.octets, sa.window.top, sa.lifetime.last_used
            )
            for sa in self._sad
        )
