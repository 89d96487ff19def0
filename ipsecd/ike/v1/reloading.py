"""A new configuration meets a party: what its peers have become, by the same rules as for IKEv2 (``reconfigure.py``).

Names decide nothing: a peer is the same as long as it would be authenticated in the same way, with the same algorithms,
in the same place.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecd.ike.config import Peer
from ipsecd.ike.pad import proves_alike
from ipsecd.ike.v1.menu import Menu, special_of
from ipsecd.ike.v1.party import Party
from ipsecd.ike.v1.rules import Rules
from ipsecd.wire.selector import Address


def become(party: Party, rules: Rules, menu: Menu) -> tuple[Peer, ...]:
    """Those that stay, and those that its credential opens as well by now; nothing if it has to end."""
    found: dict[str, Peer] = {}
    for old in party.peers:
        for new in rules.alike(old):
            if _same(party, old, new):
                found.setdefault(new.name, new)
    if not found or (party.calls_alone and all(peer.responds for peer in found.values())):  # nobody calls those
        return ()
    first = next(iter(found.values()))
    for peer in _too(party, first, rules, menu):
        found.setdefault(peer.name, peer)
    return tuple(found.values())


def _too(party: Party, first: Peer, rules: Rules, menu: Menu) -> Iterator[Peer]:
    sas = party.association.isakmp_sas
    if not sas:
        return
    for peer in rules.callers(sas[-1].path):
        in_place = party.place is None or not peer.remotes
        if in_place and menu.opens(peer, sas[-1]) and special_of(peer).access == special_of(first).access:
            yield peer


def _same(party: Party, old: Peer, new: Peer) -> bool:
    return (
        proves_alike(old, new)
        and new.special == old.special
        and bool(new.remotes) == bool(old.remotes)
        and (new.local in (old.local, None) or new.local in _ours(party))
        and (new.remotes == old.remotes or not new.remotes or _theirs(party) <= set(new.remotes))
        and all(new.may_be_at(each) for each in _theirs(party))
    )


def _ours(party: Party) -> set[Address]:
    return {session.sa.path.local.address for session in party.sessions}


def _theirs(party: Party) -> set[Address]:
    """Where it is, or is looked for."""
    found = {session.sa.path.remote.address for session in party.sessions}
    if not found and party.place is not None:
        return {party.place[0]}
    return found or ({party.calling.remote} if party.calling.remote is not None else set())
