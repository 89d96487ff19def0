"""Which addresses are reached by connections of which type, and what a plan means where no interface is seen.

The floor knows by which interface each packet goes. The SPD of the roads and the negotiation don't: what comes out of
the TUN, or out of an SA, has left its interface behind. So they are told what the routes say of the address at the far
end, which is what the floor asks the kernel packet by packet: a rule for one type is, to them, for those of its far
addresses that are reached by that type. What the kernel says is asked for each part of all addresses that its routes
tell apart, and anew when they change.

Of an address that may be reached by either type, as a route with several next hops says, nobody can tell here what the
floor has found. There a rule for one type discards what it would carry, so nothing goes by the SA of another rule.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import TypeAlias

from ipsecd.policy.plan import Action, Entry, Peer, Plan
from ipsecd.wire.selector import Address, Selector

Range: TypeAlias = tuple[Address, Address]  # first and last
Types: TypeAlias = frozenset[str]

_KINDS: Mapping[int, type[IPv4Address] | type[IPv6Address]] = {4: IPv4Address, 6: IPv6Address}

_EVERYTHING = Selector.net("0.0.0.0/0"), Selector.net("::/0")
_SPECIAL = tuple(  # without a route, and yet not as others: this host, loopback, groups, broadcast
    map(Selector.net, ("0.0.0.0/8", "0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"))
) + tuple(map(Selector.net, ("::/128", "::1/128", "ff00::/8")))


def parts(named: Iterable[IPv4Network | IPv6Network]) -> Iterator[Range]:
    """All addresses of both families, cut wherever one of these networks begins or ends, or addresses do that are of no
    single host elsewhere: the kernel knows no others, so it says the same of all addresses of a part."""
    turns: dict[int, set[int]] = {4: set(), 6: set()}
    for each in (*_EVERYTHING, *_SPECIAL):
        turns[each.version] |= {int(each.start), int(each.end) + 1}
    for network in named:
        turns[network.version] |= {int(network[0]), int(network[-1]) + 1}
    for version, kind in _KINDS.items():
        ordered = sorted(turns[version])
        for start, end in pairwise(ordered):
            yield kind(start), kind(end - 1)


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Ranges of one family in order, none of which meets another."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, first: int, last: int) -> None:
        """One behind all others; it may lengthen the last."""
        if self.ends and self.ends[-1] + 1 == first:
            self.ends[-1] = last
        else:
            self.starts.append(first)
            self.ends.append(last)

    def within(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of them lies between these two."""
        for place in range(bisect_left(self.ends, first), len(self.starts)):
            if self.starts[place] > last:
                return
            yield max(first, self.starts[place]), min(last, self.ends[place])


@dataclass(frozen=True)
class Reach:
    """``found`` has parts of all addresses in order, each with the types of connection by which it may be reached: none
    if it isn't reached by any, or is this machine's own. Two that follow each other and of which the same is said are
    one."""

    found: tuple[tuple[Address, Address, Types], ...] = ()

    @classmethod
    def of(cls, told: Iterable[tuple[Range, Types]]) -> Reach:
        """From what is said of each part, in their order."""
        found: list[tuple[Address, Address, Types]] = []
        for (first, last), types in told:
            follows = found and found[-1][0].version == first.version and found[-1][2] == types
            start = found.pop()[0] if follows else first
            found.append((start, last, types))
        return cls(tuple(found))

    @cached_property
    def _known(self) -> Mapping[tuple[int, Types], _Ranges]:
        known: dict[tuple[int, Types], _Ranges] = {}
        for first, last, types in self.found:
            known.setdefault((first.version, types), _Ranges()).add(int(first), int(last))
        return known

    def of_type(self, selectors: Iterable[Selector], kind: str) -> tuple[Selector, ...]:
        """What of these selectors is reached by this type, and by no other."""
        return tuple(each for selector in selectors for each in self._cut(selector, frozenset({kind})))

    def doubtful(self, selectors: Iterable[Selector], kind: str) -> tuple[Selector, ...]:
        """What of them may be reached by this type, and by another as well."""
        several = dict.fromkeys(types for _, _, types in self.found if kind in types and len(types) > 1)
        return tuple(each for selector in selectors for types in several for each in self._cut(selector, types))

    def everything(self, kind: str) -> tuple[Selector, ...]:
        """All that is reached by this type, and by no other."""
        return self.of_type(_EVERYTHING, kind)

    def _cut(self, selector: Selector, types: Types) -> Iterator[Selector]:
        ranges, address = self._known.get((selector.version, types), _NONE), _KINDS[selector.version]
        for first, last in ranges.within(int(selector.start), int(selector.end)):
            yield replace(selector, start=address(first), end=address(last))


_NONE = _Ranges()


def reached(plan: Plan, reach: Reach) -> Plan:
    """The plan as those have it who see no interface: what is for one type of connection is for what is reached by it.
    The floor needs it whole."""
    if not plan.by_connection:
        return plan
    entries = tuple(each for entry in plan.entries for each in _entries(entry, reach))
    return replace(plan, entries=entries, peers=tuple(_peer(peer, reach) for peer in plan.peers))


def _entries(entry: Entry, reach: Reach) -> Iterator[Entry]:
    kind = entry.connections
    if not kind or not entry.pairs:
        yield entry
        return
    told = (reach.doubtful, Action.BLOCK, ""), (reach.of_type, entry.action, entry.child)
    for cut, action, child in told:
        pairs = tuple((local, each) for local, remote in entry.pairs for each in cut((remote,), kind))
        if pairs:
            yield replace(entry, action=action, child=child, pairs=pairs)


def _peer(peer: Peer, reach: Reach) -> Peer:
    """Who calls from anywhere may do so from where that type leads, and a rule for each pair of hosts has such hosts
    alone. A peer with an address is left as it is: whether that is reached so has been asked already."""
    kind = peer.connections
    if not kind or not (peer.each or peer.anywhere):
        return peer
    if peer.anywhere:
        return replace(peer, within=reach.everything(kind))
    children = (replace(child, remote=reach.of_type(child.remote, kind)) for child in peer.children)
    return replace(peer, children=tuple(children))


def out_of_reach(plan: Plan) -> dict[str, str]:
    """Of a plan that is for what is ``reached``: the peers of which there is nobody now, and why."""
    found = {}
    for peer in plan.peers:
        hosts = [child.remote for child in peer.children] if peer.each and peer.connections else []
        if peer.within == () or (hosts and not any(hosts)):
            found[peer.name] = f"nobody it is for is reached by {peer.connections} connections"
    return found
