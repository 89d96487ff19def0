"""What is done with a packet that is too big for the path of its SA (RFC 4301 section 8.2.1).

Its sender is told, if it said that nobody may cut the packet. Else it is cut before it is protected, if all fragments
find their way then, and not in transport mode, as that protects whole packets. What can be neither goes in outer
fragments.
"""

from __future__ import annotations

from typing import NamedTuple

from ipsecd.dataplane.tally import Tally
from ipsecd.ipsec.fragment import fragments
from ipsecd.ipsec.pmtu import least, room, tcp_mss
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.ipsec.spd import Direction, Spd
from ipsecd.ipsec.toobig import TooBig
from ipsecd.ipsec.transport import front_octets
from ipsecd.wire.ip import MAX_PACKET, IpPacket
from ipsecd.wire.tcp import clamp_mss


class Fitted(NamedTuple):
    """The packets to protect in place of the one that came, and whether their outer packets may be fragmented; if there
    are none, an ``answer`` to its sender, unless none may be sent. ``most`` is how large a packet fits."""

    packets: list[bytes]
    may_fragment: bool = False
    answer: bytes | None = None
    most: int = 0


class Fitting:
    """Counts in ``tally``. TCP segments are no larger than the TUN device's MTU allows, either."""

    def __init__(self, tally: Tally, *, tun_mtu: int) -> None:
        self._tally = tally
        self._tun_mtu = tun_mtu
        self._too_big = TooBig()

    def fit(
        self, sa: OutboundSa, spd: Spd, packet: bytes, inner: IpPacket, path_mtu: int, now: float, *, tell: bool
    ) -> Fitted:
        """The packet as it fits the path; ``tell`` is whether senders are told."""
        front = front_octets(packet, inner) if sa.form.transport else 0
        most = room(sa, path_mtu, front)
        packet = self._clamp(packet, inner, most)
        if len(packet) <= most:
            return Fitted([packet], most=most)
        smallest = least(inner)
        cut_by_its_source = inner.fragment_header and not inner.is_fragment  # and joined since: see ipsec/reassembly.py
        if len(packet) > smallest and not cut_by_its_source and tell and inner.dont_fragment:
            return self._answer(packet, inner, max(most, smallest), now)
        may_be_cut = not sa.form.transport and not inner.dont_fragment and _may_be_cut(sa, spd, inner)
        if len(packet) > smallest and may_be_cut:
            self._tally.paths["fragmented"] += 1
            return Fitted(fragments(packet, inner, max(most, smallest)), may_fragment=most < smallest, most=most)
        if len(packet) > (at_all := room(sa, MAX_PACKET, front)):
            return self._answer(packet, inner, at_all, now)
        return Fitted([packet], may_fragment=True)

    def _answer(self, packet: bytes, inner: IpPacket, mtu: int, now: float) -> Fitted:
        """Nothing to protect, but an answer that says what fits."""
        answer = self._too_big.answer(packet, inner, mtu, now)
        if answer is not None:
            self._tally.paths["too-big-sent"] += 1
        return Fitted([], answer=answer)

    def _clamp(self, packet: bytes, inner: IpPacket, most: int) -> bytes:
        clamped = clamp_mss(inner, packet, tcp_mss(min(most, self._tun_mtu), inner.version))
        if clamped is not packet:
            self._tally.paths["mss-clamped"] += 1
        return clamped


def _may_be_cut(sa: OutboundSa, spd: Spd, inner: IpPacket) -> bool:
    """Whether all fragments find their way: by their own addresses, as only the whole shows what an ICMP error quotes,
    and without ports, as only the first shows those (RFC 4301 section 7)."""
    flow = Flow.of(inner)._replace(source_port=UNSEEN, destination_port=UNSEEN)
    return sa.selectors.hold_outbound(flow) and not spd.ports_decide(flow, Direction.OUTBOUND)
