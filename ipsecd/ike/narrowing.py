"""Choosing traffic selectors (RFC 7296 section 2.9), always inside the children of the peers a credential opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Child, Peer
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import Selector, narrow

Selectors = tuple[Selector, ...]
Packet = tuple[Selector, Selector]  # a packet's own ends: (local, remote)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The child an offer was narrowed in, and to what. ``more``: other parts would be accepted too, each alone."""

    peer: Peer
    child: Child
    local: Selectors
    remote: Selectors
    more: bool


def narrow_in(peers: Iterable[Peer], local: Selectors, remote: Selectors) -> Narrowed:
    """What the responder answers to an offer; ``local`` is our side of it (TSr), ``remote`` the peer's (TSi).

    A child that takes the offer's first selectors goes before one that doesn't; among those, one that takes the whole
    offer; then the order of the policy. Raises Refused("selectors-unacceptable") with TS_UNACCEPTABLE.
    """
    found: list[tuple[bool, bool, Narrowed]] = []
    for peer in peers:
        for child in peer.children:
            ours, theirs = _narrow(local, child.local), _narrow(remote, child.remote)
            if meets(ours, theirs):
                first = covers(child.local, local[:1]) and covers(child.remote, remote[:1])
                whole = covers(child.local, local) and covers(child.remote, remote)
                found.append((first, whole, Narrowed(peer, child, ours, theirs, more=False)))
    if not found:
        raise Refused(
            "selectors-unacceptable",
            f"the peer asks for {show(local)} here and {show(remote)} there, which no rule it has opened allows",
            notify=NotifyType.TS_UNACCEPTABLE,
        )
    first, whole, best = max(found, key=lambda entry: entry[:2])
    more = len(found) > 1 and not whole
    return Narrowed(best.peer, best.child, best.local, best.remote, more)


def narrow_again(child: Child, local: Selectors, remote: Selectors) -> tuple[Selectors, Selectors]:
    """The same for a rekey: only within the child that is being rekeyed (2.9.2). Raises Refused as above."""
    ours, theirs = _narrow(local, child.local), _narrow(remote, child.remote)
    if not meets(ours, theirs):
        raise Refused(
            "selectors-unacceptable",
            f"the peer wants to rekey {child.name} with {show(local)} and {show(remote)}",
            notify=NotifyType.TS_UNACCEPTABLE,
        )
    return ours, theirs


def offer_for(child: Child, packet: Packet | None) -> tuple[Selectors, Selectors]:
    """What the initiator offers: the child's selectors, behind the packet's own if a packet asked (2.9)."""
    if packet is None:
        return child.local, child.remote
    local, remote = packet
    return _led_by(local, child.local), _led_by(remote, child.remote)


def check_answer(offered: Selectors, answered: Selectors, side: str) -> Selectors:
    """The answer, if each part lies inside the offer; else PeerError("selectors-widened")."""
    if not answered or not covers(offered, answered):
        raise PeerError("selectors-widened", f"{side}: offered {show(offered)}, answered {show(answered)}")
    return answered


def covers(wide: Selectors, parts: Selectors) -> bool:
    """Whether each part lies inside one of ``wide``."""
    return all(any(each.contains(part) for each in wide) for part in parts)


def meets(local: Selectors, remote: Selectors) -> bool:
    """Whether any packet at all can go between the two: one family, one protocol."""
    return any(
        one.version == two.version and (one.protocol == two.protocol or 0 in (one.protocol, two.protocol))
        for one in local
        for two in remote
    )


def show(selectors: Iterable[Selector]) -> str:
    return ", ".join(str(selector) for selector in selectors) or "nothing"


def _narrow(offered: Selectors, allowed: Selectors) -> Selectors:
    return narrow(offered, allowed)[: limits.MAX_SELECTORS]


def _led_by(first: Selector, rest: Selectors) -> Selectors:
    return rest if first in rest else (first, *rest)[: limits.MAX_SELECTORS]
