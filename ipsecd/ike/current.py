"""What the configuration says now of a child whose negotiation began earlier: a reload may have come in between."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ipsecd.errors import Refused
from ipsecd.ike.carriage import carried
from ipsecd.ike.config import AhEspProposal, Child, ChildProposal, Peer
from ipsecd.ike.menus import nothing_left

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def current(sa: IkeSa, child: Child) -> tuple[Peer, Child]:
    """The child as it is configured now, and whose it is among the peers that ``sa`` has opened.

    Raises Refused ("not-wanted") if it may not be negotiated any more, or ("not-carried") if it can't be with this
    peer, with the reason in plain words.
    """
    if sa.core.wanted.held(child.id):
        raise _not_wanted("it was put down by command")
    for peer in sa.peers:
        for now in peer.children:
            if now.id == child.id:
                nothing = nothing_left(peer.proposals, now.proposals)
                if nothing:
                    raise _not_wanted(nothing)
                carried(sa, peer, now)
                return peer, now
    raise _not_wanted("the policy has changed")


def overtaken(sa: IkeSa, asked: Child) -> bool:
    """Whether what was asked for isn't wanted any more, or not in this way."""
    try:
        _, now = current(sa, asked)
    except Refused:
        return True
    return not alike(asked, now)


def alike(one: Child, other: Child) -> bool:
    """Whether all that a child SA is negotiated from is the same. What has only grown differs too: a packet of the new
    part would find an SA that doesn't take it."""
    return (one.local, one.remote, _offers(one)) == (other.local, other.remote, _offers(other))


def _offers(child: Child) -> list[ChildProposal]:
    """What is negotiated of its proposals: each side minds its own lifetimes (RFC 7296 section 2.8)."""
    return [_timeless(proposal) for proposal in child.proposals]


def _timeless(proposal: ChildProposal) -> ChildProposal:
    if isinstance(proposal, AhEspProposal):
        return replace(proposal, esp=replace(proposal.esp, lifetime=None))
    return replace(proposal, lifetime=None)


def _not_wanted(why: str) -> Refused:
    return Refused("not-wanted", why)
