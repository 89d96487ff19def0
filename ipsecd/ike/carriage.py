"""How the packets of an IKE SA's children travel, in UDP or as IP protocols 50 and 51, and which of a child's proposals
can (RFC 7296 section 2.23).

Between two of us who calls says in IKE_SA_INIT whether it wants UDP, and the answer says what there is. Others are
brought to UDP by a NAT in front of us that isn't there (``nat.py``), and left to native packets by the true hash. What
is said in IKE_SA_INIT is proven by IKE_AUTH, which signs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import AhEspProposal, AhProposal, Child, ChildProposal, Encapsulation, EspProposal, Peer
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.nat import Nat, is_ipsecd, wants_udp
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

_BEHIND_NAT = "there is a NAT between us, which native packets can't pass: its rule needs encapsulation auto or udp"
_NO_UDP = "the peer can't carry ESP in UDP, and the rule has nothing else"
_UDP_ASKED = "the peer wants ESP in UDP, and the rule has native packets alone"
_NO_RAW_SOCKETS = "this machine has no raw sockets for native packets, and only another ipsecd carries AH in UDP"
_NATIVE_ASKED = "the peer wants native packets, and the rule has ESP in UDP alone"


@dataclass(frozen=True, slots=True)
class Carriage:
    """``native``: packets are IP protocols themselves. ``ipsecd``: the peer is one of us."""

    native: bool = False
    ipsecd: bool = False

    def __str__(self) -> str:
        return "native" if self.native else "udp"


@dataclass(frozen=True, slots=True)
class Terms:
    """What rules say, of which any may be the one: whether packets may go in UDP, and natively. ``bent``: others are
    shown a NAT that isn't there, so that they use UDP; whoever believes in a NAT has no AH."""

    udp: bool
    native: bool
    bent: bool

    @classmethod
    def of(cls, peers: Iterable[Peer]) -> Terms:
        peers = tuple(peers)
        said = {peer.encapsulation for peer in peers}
        with_ah = any(child.has_ah for peer in peers for child in peer.children)
        bent = Encapsulation.UDP in said or (Encapsulation.AUTO in said and not with_ah)
        return cls(said != {Encapsulation.NATIVE}, said != {Encapsulation.UDP}, bent)

    def answered(self, answer: Admitted, found: Nat | None) -> Carriage:
        """What the answer to our IKE_SA_INIT makes of it; ``found`` is None if the peer doesn't do NAT traversal.

        Raises PeerError if that is nothing that the rule has."""
        one_of_us = is_ipsecd(answer)
        if found is None:
            if not self.native:
                raise PeerError("no-nat-traversal", _NO_UDP)
            return Carriage(True, one_of_us)
        if found.found:
            if not self.udp:
                raise PeerError("native-behind-nat", _BEHIND_NAT)
            return Carriage(False, one_of_us)
        native = not wants_udp(answer) if one_of_us else not self.bent
        if not (self.native if native else self.udp):
            raise PeerError("other-encapsulation", _NATIVE_ASKED if native else _UDP_ASKED)
        return Carriage(native, one_of_us)

    def asked(self, request: Admitted, found: Nat | None) -> Carriage:
        """What we answer to an IKE_SA_INIT. Raises Refused with NO_PROPOSAL_CHOSEN if no rule has that."""
        one_of_us = is_ipsecd(request)
        if found is None:
            if not self.native:
                raise Refused("no-nat-traversal", _NO_UDP, notify=NotifyType.NO_PROPOSAL_CHOSEN)
            return Carriage(True, one_of_us)
        if found.found:
            if not self.udp:
                raise Refused("native-behind-nat", _BEHIND_NAT, notify=NotifyType.NO_PROPOSAL_CHOSEN)
            return Carriage(False, one_of_us)
        if one_of_us:
            return Carriage(not self.udp if wants_udp(request) else self.native, True)
        return Carriage(not self.bent, False)


def carried(sa: IkeSa, peer: Peer, child: Child) -> tuple[ChildProposal, ...]:
    """Those of a child's proposals that can be had with this peer, along this path.

    Raises Refused("not-carried") with NO_PROPOSAL_CHOSEN and the reason in plain words if that is none of them."""
    reasons = {proposal: _obstacle(sa, peer, proposal) for proposal in child.proposals}
    found = tuple(proposal for proposal, reason in reasons.items() if not reason)
    if not found:
        why = "; ".join(dict.fromkeys(reasons.values()))
        raise Refused("not-carried", why, notify=NotifyType.NO_PROPOSAL_CHOSEN)
    return found


def _obstacle(sa: IkeSa, peer: Peer, proposal: ChildProposal) -> str:
    """Why it can't be had; empty if it can."""
    with_ah = not isinstance(proposal, EspProposal)
    if with_ah and sa.nat.found:
        return "AH signs the addresses, so it can't pass the NAT between us"
    if isinstance(proposal, AhEspProposal) and not sa.carriage.ipsecd:
        return "AH with ESP needs an ipsecd peer under IKEv2"
    native = goes_natively(sa, with_ah=with_ah)
    if native and not sa.core.config.native:
        return _NO_RAW_SOCKETS
    if peer.encapsulation is Encapsulation.NATIVE and not native:
        return _BEHIND_NAT if sa.nat.found else "its rule has native packets alone, and this IKE SA has ESP in UDP"
    if peer.encapsulation is Encapsulation.UDP and native and not isinstance(proposal, AhProposal):
        return "its rule has ESP in UDP alone, and this IKE SA has native packets"
    return ""


def goes_natively(sa: IkeSa, *, with_ah: bool) -> bool:
    """Whether a child's packets are IP protocols 50 and 51: only we carry AH in UDP."""
    return sa.carriage.native or (with_ah and not sa.carriage.ipsecd)
