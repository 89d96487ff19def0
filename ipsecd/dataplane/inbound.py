"""The way in, from the network to the TUN device. The methods stand in the order in which a packet meets them.

 1. classify   the datagram: NAT keepalive, IKE (to the control side), ESP or AH (RFC 3948 section 2); or the native
               packet: ESP or AH
 2. find       the inbound SA by SPI; AH around ESP is checked first, and what is inside starts here again
 3. open       replay check, ICV, replay commit, padding
 4. note       lifetime, first use, where the peer sends from, that the peer lives
 5. unwrap     the packet inside, unless it's a dummy; in transport mode its headers are put in front again
 6. mark       congestion on the way, carried inside (RFC 6040); in transport mode it is the packet's own mark
 7. select     the packet lies within its SA's selectors (RFC 4301 section 5.2)
 8. decide     the SPD entry that holds the packet wants just this protection, or leaves it to the SA
 9. deliver    TCP segment size; one packet for the TUN device, or several if its source had cut it

Nothing before step 3 changes any state but counters; nothing gets past it that isn't authentic and fresh. Whatever
doesn't get through is dropped under a name of ``tally.DROPS``.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.dataplane.messages import (
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
from ipsecd.dataplane.unwrapping import INSIDE_ITSELF, Came, Inside, placed, rebuilt, with_ah, with_ah_in_udp
from ipsecd.dataplane.uses import Uses
from ipsecd.errors import PeerError, Refused, WireError
from ipsecd.ipsec import ah, ah_packets, esp, pmtu
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
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address
from ipsecd.wire.tcp import clamp_mss
from ipsecd.wire.udpencap import Kind, classify, ike_message

# Each packet asks for these, and to look up a member of an enumeration takes longer than to compare it.
_ESP, _NO_NEXT = IpProtocol.ESP, IpProtocol.NO_NEXT
_ESP_IN_UDP, _AH_IN_UDP = Kind.ESP, Kind.AH


class Inbound:
    """The state of the road in: SPD, inbound SAs, path MTUs, who was heard of, counters."""

    def __init__(self, *, tun_mtu: int, pmtu_age: float = limits.PMTU_AGE) -> None:
        self.tally = Tally()
        self._tun_mtu = tun_mtu
        self._spd = Spd()
        self._sad = InboundSad()
        self._paths = PathMtus(pmtu_age)
        self._uses = Uses()
        self._alive: set[int] = set()
        self._alive_again = float("-inf")

    # --- the road -----------------------------------------------------------------------------------------------

    def carry(self, datagram: bytes, outside: Outside, tos: int, now: float, *, natt: bool) -> list[Result]:
        """Receive one datagram. ``outside`` is where it came from and to, ``tos`` the TOS or traffic class octet of
        its IP header, ``natt`` whether it came to the socket where ESP is spoken."""
        results: list[Result] = []
        self.tally.paths["from-udp"] += 1
        try:
            kind = self._classify(datagram, outside, results, natt=natt)
            if kind is _ESP_IN_UDP:
                self._receive_esp(datagram, Came(outside, tos), None, now, results)
            elif kind is _AH_IN_UDP:
                self._receive_ah(with_ah_in_udp(datagram, outside), Came(outside, tos), now, results)
        except (PeerError, Refused) as error:
            self.tally.drops[error.reason] += 1
        return results

    def carry_native(self, packet: bytes, outside: Outside, now: float) -> list[Result]:
        """Receive one IP packet of protocol 50 or 51, in one piece. ``outside`` has its addresses, and ports of 0."""
        results: list[Result] = []
        self.tally.paths["from-native"] += 1
        try:
            protocol, start, total, _ = placed(packet)
            tos = packet[1] if packet[0] >> 4 == 4 else int.from_bytes(packet[:2], "big") >> 4 & 0xFF
            came = Came(outside, tos, packet[:start])
            if protocol == IpProtocol.ESP:
                self._receive_esp(packet[start:total], came, None, now, results)
            else:
                self._receive_ah(with_ah(packet), came, now, results)
        except (PeerError, Refused) as error:
            self.tally.drops[error.reason] += 1
        return results

    def _classify(self, datagram: bytes, outside: Outside, results: list[Result], *, natt: bool) -> Kind:
        if not outside.remote_port:  # to us that means native packets
            raise PeerError("no-source-port")
        kind = classify(datagram, natt)
        if kind is _ESP_IN_UDP or kind is _AH_IN_UDP:
            return kind
        if kind is Kind.RUNT:
            raise PeerError("runt")
        self.tally.paths[kind.value] += 1
        if kind is Kind.IKE:
            data = ike_message(datagram, natt)
            results.append(
                IkeDatagram(data, outside.local, outside.local_port, outside.remote, outside.remote_port, natt)
            )
        return kind

    def _receive_ah(self, received: ah.Received, came: Came, now: float, results: list[Result]) -> None:
        next_header, _, spi, _ = received.header
        sa = self._find(spi, IpProtocol.AH, now, results)
        checked = ah_packets.check(sa, received)
        self._note(sa, next_header, len(received.packet), came.outside, now, results, newest=checked.newest)
        if not sa.form.outer:
            results += self._pass(sa, Inside(next_header, received.payload, checked.sequence), came, now)
        elif next_header == IpProtocol.ESP:
            self._receive_esp(received.payload, came, sa, now, results)
        else:
            raise PeerError("nested")

    def _receive_esp(
        self, packet: bytes, came: Came, around: InboundSa | None, now: float, results: list[Result]
    ) -> None:
        """``around`` is the SA of the AH that it came inside."""
        header = self._header(packet)
        sa = self._find(header.spi, _ESP, now, results)
        if sa.around is not around:
            raise PeerError("not-in-ah" if around is None else "nested")
        opened = esp.open_(sa, packet, header.sequence)
        self._note(sa, opened.next_header, opened.encrypted, came.outside, now, results, newest=opened.newest)
        results += self._pass(sa, Inside(opened.next_header, opened.payload, opened.sequence), came, now)

    def _pass(self, sa: InboundSa, inside: Inside, came: Came, now: float) -> list[Result]:
        """What is authentic and fresh, from step 5 on."""
        packet, inner = self._unwrap(sa, inside, came)
        if not sa.form.transport:
            packet = self._mark(packet, inner, came.tos)
        self._decide(sa, *self._select(sa, packet, inner))
        return self._deliver(sa, packet, inner, now)

    def _header(self, datagram: bytes) -> EspHeader:
        try:
            return decode_header(datagram)
        except WireError as error:
            raise PeerError("runt" if error.reason == "truncated" else "unknown-spi") from None

    def _find(self, spi: int, protocol: IpProtocol, now: float, results: list[Result]) -> InboundSa:
        sa = self._sad.get(spi)
        if sa is None or sa.protocol is not protocol:
            raise PeerError("unknown-spi")
        self._expire(sa, now, results)
        if sa.lifetime.over:
            raise Refused("sa-expired")
        return sa

    def _note(
        self,
        sa: InboundSa,
        next_header: int,
        octets: int,
        outside: Outside,
        now: float,
        results: list[Result],
        *,
        newest: bool,
    ) -> None:
        self._carry(sa, next_header, 1, octets, now)
        self._expire(sa, now, results)
        if not sa.used:
            sa.used = True
            results.append(InboundUsed(sa.spi))
        # RFC 7296 section 2.23: only an authentic packet that is newer than all others tells where the peer is. Without
        # UDP there is no NAT that moves it.
        if newest and outside != sa.seen_outside:
            sa.seen_outside = outside
            if outside != sa.outside and not (outside.native or sa.outside.native):
                results.append(PeerMoved(sa.spi, outside))
        self._alive.add(sa.spi)
        self._tell_alive(now, results)

    def _carry(self, sa: InboundSa, next_header: int, packets: int, octets: int, now: float) -> None:
        """Count packets that carry the same. Dummies use up the SA, and the AH around it, and aren't use of them."""
        if sa.form.outer:
            sa.lifetime.spend(packets, octets)  # what is inside tells the rest
        elif _is_dummy(sa, next_header):
            sa.lifetime.spend(packets, octets)
            sa.dummies += packets
            if sa.around is not None:
                sa.around.dummies += packets
        else:
            sa.lifetime.carry(packets, octets, now)
            if sa.around is not None:
                sa.around.lifetime.last_used = now

    def _unwrap(self, sa: InboundSa, inside: Inside, came: Came) -> tuple[bytes, ip.IpPacket]:
        if _is_dummy(sa, inside.next_header):
            raise Refused("dummy")
        if sa.form.transport:
            return rebuilt(sa, came, inside)
        return inner_packet(inside.next_header, inside.payload)

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
            if sa.form.transport and flow.protocol in INSIDE_ITSELF:
                raise PeerError("wrong-mode")
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
        joined = inner.fragment_header and not inner.is_fragment and not sa.form.transport
        if joined and len(packet) > least(inner):
            self.tally.paths["cut-again"] += 1
            return [ToTun(piece) for piece in fragments(clamped, inner, least(inner))]
        return [ToTun(clamped)]

    # --- what the control side says -----------------------------------------------------------------------------

    def install(self, message: InstallInbound, now: float) -> None:
        """Accept packets with a new SPI. Raises LocalError if that can't be."""
        m = message
        sa = InboundSa(m.spi, m.child, m.keys, m.local, m.remote, m.outside, m.limits, m.window, now, m.form)
        self._sad.add(sa)
        if m.watched:
            self._uses.begin(m.spi, m.spi, sa.lifetime, now)

    def remove(self, spi: int) -> None:
        self._sad.remove(spi)
        self._uses.end(spi, spi)
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
        self._uses.tell(now, results)
        return results

    def deadline(self) -> float | None:
        """When ``timer`` has something to do next."""
        of_sas = sooner(self._sad.alarms.next(), self._uses.next())
        return sooner(of_sas, self._alive_again if self._alive else None)

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
            SaCounters(sa.spi, sa.spi, "in", life.packets, life.octets, sa.window.top, life.last_used, sa.dummies)
            for sa in self._sad
            for life in (sa.lifetime,)
        )


def _is_dummy(sa: InboundSa, next_header: int) -> bool:
    """RFC 4303 section 2.6; AH knows none."""
    return next_header == _NO_NEXT and sa.protocol is _ESP
