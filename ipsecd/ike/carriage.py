"""How the packets of an IKE SA's children travel, and which of a child's proposals can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipsecd.errors import Refused
from ipsecd.ike.config import AhEspProposal, Child, ChildProposal, EspProposal
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


@dataclass(frozen=True, slots=True)
class Carriage:
    """``ipsecd``: the peer is one of us."""

    ipsecd: bool = False


def carried(sa: IkeSa, child: Child) -> tuple[ChildProposal, ...]:
    """Those of a child's proposals that can be had with this peer, along this path.

    Raises Refused("not-carried") with NO_PROPOSAL_CHOSEN and the reason in plain words if that is none of them."""
    reasons = {proposal: _obstacle(sa, proposal) for proposal in child.proposals}
    found = tuple(proposal for proposal, reason in reasons.items() if not reason)
    if not found:
        why = "; ".join(dict.fromkeys(reasons.values()))
        raise Refused("not-carried", why, notify=NotifyType.NO_PROPOSAL_CHOSEN)
    return found


def _obstacle(sa: IkeSa, proposal: ChildProposal) -> str:
    if isinstance(proposal, EspProposal):
        return ""
    if sa.nat.found:
        return "AH signs the addresses, so it can't pass the NAT between us"
    if isinstance(proposal, AhEspProposal) and not sa.carriage.ipsecd:
        return "AH with ESP needs an ipsecd peer under IKEv2"
    return ""
