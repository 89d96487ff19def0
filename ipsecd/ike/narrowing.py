"""Choosing traffic selectors (RFC 7296 section 2.9), always inside the children of the peers a credential opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Child, Peer
from ipsecd.printable import first_of
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import ANY_PORT, Selector, common, narrow, outermost

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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A child that takes something of an offer: its ``first`` selectors, perhaps, or the ``whole`` of it."""

    peer: Peer
    child: Child
    first: bool
    whole: bool


def narrow_in(peers: Iterable[Peer], local: Selectors, remote: Selectors) -> Narrowed:
    """What the responder answers to an offer; ``local`` is our side of it (TSr), ``remote`` the peer's (TSi).

    A child that takes the offer's first selectors goes before one that doesn't; among those, one that takes the whole
    offer; then the order of the policy. A peer that only responds gets nothing that another one is for: if that is so
    of a part of the offer, it may be the offer's first selectors and no more. Raises
    Refused("selectors-unacceptable") with TS_UNACCEPTABLE.
    """
    known = tuple(peers)
    ruling, responding = ([peer for peer in known if peer.responds is responds] for responds in (False, True))
    found, alone = _candidates(ruling, local, remote), (local[:1], remote[:1])
    if not found:
        return _best(_candidates(responding, local, remote), local, remote)
    if responding and not any(each.first for each in found) and not _candidates(ruling, *alone):
        others = _candidates(responding, *alone)
        return replace(_best(others, *alone), more=True) if others else _best(found, local, remote)
    return _best(found, local, remote)


def _candidates(peers: Iterable[Peer], local: Selectors, remote: Selectors) -> list[_Candidate]:
    """In the order of the policy. The search ends with ``limits.NARROWING_STEPS``."""
    ours, theirs = _distilled(local), _distilled(remote)
    found: list[_Candidate] = []
    steps = 0
    for each, child in ((peer, child) for peer in peers for child in peer.children):
        steps += len(ours) * len(child.local) + len(theirs) * len(child.remote)
        if steps > limits.NARROWING_STEPS:
            break
        here = common(ours, child.local)
        there = common(theirs, child.remote) if here else ()
        if meets(here, there):
            first = covers(child.local, local[:1]) and covers(child.remote, remote[:1])
            whole = set(ours) <= set(here) and set(theirs) <= set(there)
            found.append(_Candidate(each, child, first, whole))
    return found


def _best(found: list[_Candidate], local: Selectors, remote: Selectors) -> Narrowed:
    if not found:
        raise Refused(
            "selectors-unacceptable",
            f"the peer asks for {show(local)} here and {show(remote)} there, which no rule it has opened allows",
            notify=NotifyType.TS_UNACCEPTABLE,
        )
    best = max(found, key=lambda each: (each.first, each.whole))
    ours, theirs = (
        narrow(_distilled(offered), allowed)
        for offered, allowed in ((local, best.child.local), (remote, best.child.remote))
    )
    return Narrowed(best.peer, best.child, ours, theirs, len(found) > 1 and not best.whole)


def narrow_again(peer: Peer, child: Child, local: Selectors, remote: Selectors) -> Narrowed:
    """The same for a rekey: only within the child that is being rekeyed (2.9.2). Raises Refused as above."""
    ours, theirs = narrow(_distilled(local), child.local), narrow(_distilled(remote), child.remote)
    if not meets(ours, theirs):
        raise Refused(
            "selectors-unacceptable",
            f"the peer wants to rekey {child.name} with {show(local)} and {show(remote)}",
            notify=NotifyType.TS_UNACCEPTABLE,
        )
    return Narrowed(peer, child, ours, theirs, more=False)


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


def left_out(local: Selectors, remote: Selectors, packet: Packet) -> str:
    """What an answer allows, and what of the packet that asked is outside, in plain words."""
    ends = [_seen(side, end) for side, end in ((local, packet[0]), (remote, packet[1])) if not covers(side, (end,))]
    verb = "isn't" if len(ends) == 1 else "aren't"
    return f"the peer allows only {show(local)} = {show(remote)}; {' and '.join(ends)} {verb} in it"


def _seen(side: Selectors, end: Selector) -> str:
    """An end of a packet: its address, and protocol and port if it's those that are outside."""
    address = Selector(end.start, end.end)
    return str(end if any(replace(each, protocol=0, ports=ANY_PORT).contains(address) for each in side) else address)


def covers(wide: Selectors, parts: Selectors) -> bool:
    """Whether each part lies inside one of ``wide``."""
    return all(any(each.contains(part) for each in wide) for part in parts)


def takes(local: Selectors, remote: Selectors, packet: Packet) -> bool:
    """Whether an SA with these selectors may carry the packet."""
    return covers(local, packet[:1]) and covers(remote, packet[1:])


def meets(local: Selectors, remote: Selectors) -> bool:
    """Whether any packet at all can go between the two: one family, one protocol."""
    ours, theirs = ({(selector.version, selector.protocol) for selector in side} for side in (local, remote))
    return any(
        version == other_version and (protocol == other_protocol or 0 in (protocol, other_protocol))
        for version, protocol in ours
        for other_version, other_protocol in theirs
    )


def show(selectors: Selectors) -> str:
    """For people: the first few, and how many more there are."""
    return first_of([str(selector) for selector in selectors], limits.SHOWN_SELECTORS) or "nothing"


def _distilled(offered: Selectors) -> Selectors:
    """What lies inside another selector says nothing of its own. But the first is the initiator's choice (2.9): it
    stands in front, also where the rest is too much for one payload."""
    outer = outermost(offered)
    return outer if offered[:1] == outer[:1] else (*offered[:1], *outer)


def _led_by(first: Selector, rest: Selectors) -> Selectors:
    return (first, *(each for each in rest if each != first))[: limits.MAX_SELECTORS]
