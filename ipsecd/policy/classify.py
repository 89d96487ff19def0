"""Which entry of the plan a packet belongs to, said in nftables: ordered chains that take the first match.

A chain here is a list of rules in nft's own words. One set of entries is written out once per use (steering a packet
out, dropping one that leaves, dropping one that arrives), because an nft chain can't be given its verdicts as
arguments.

A packet that is forwarded arrives and leaves, so an entry may cover it either way. Each protecting entry that does is
obeyed. A block counts only if nothing that stands before it covers the packet, in either way (``blocked``).

Ports and ICMP types are read from the transport header. Where that can't be done (a fragment, a truncated packet, an
extension header the kernel doesn't follow), the addresses alone decide, and of all entries that might be meant the
strictest wins: block before protect before permit (RFC 4301 section 7 leaves no port to match either).

An ICMP error quotes the packet it complains of. One about a packet that came out of an SA would carry its beginning
back in clear, so an error also belongs to the entry of the packet it quotes, reversed (RFC 4301 section 6.2); and one
that arrives in clear can't speak of a packet that left inside an SA (section 6.1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from ipsecd import limits
from ipsecd.policy import branching
from ipsecd.policy import flow as one_way
from ipsecd.policy.branching import ADDRESSES, TRANSPORT, Words, aside, reached, tree
from ipsecd.policy.constant_sets import EITHER, PORTS, TYPES
from ipsecd.policy.flow import LOCAL, addresses, ends, rule
from ipsecd.policy.memory import MEMORY
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.selector import ANY_PORT, Selector

Chains = branching.Chains
Flow = one_way.Flow

Verdict = Callable[[Entry], str]
"""What happens to the packets of an entry."""

Way = Callable[[Entry, Action, str], tuple[Flow, ...]]
"""``out`` or ``into``: an entry's flows of that direction, with an action and a verdict; none if it has no such."""


def out(entry: Entry, action: Action, verdict: str) -> tuple[Flow, ...]:
    """The flows of packets that leave."""
    if not entry.outbound:
        return ()
    pairs, me = (entry.me, "saddr") if entry.me else (entry.pairs, "")
    return tuple(Flow(action, local, remote, verdict, me, "daddr") for local, remote in pairs)


def into(entry: Entry, action: Action, verdict: str) -> tuple[Flow, ...]:
    """The flows of packets that arrive."""
    if not entry.inbound:
        return ()
    pairs, me = (entry.me, "daddr") if entry.me else (entry.pairs, "")
    return tuple(Flow(action, remote, local, verdict, me, "saddr") for local, remote in pairs)


def let_in(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries as cleartext that arrives meets them: a passthrough lets it in, so it counts as a permit does, also
    where ports can't be read. What leaves meets the entries as they are."""
    return tuple(replace(entry, action=Action.PERMIT) if entry.passthrough else entry for entry in entries)


def turned(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries as an ICMP error meets them by what it quotes, which has gone the other way: one that leaves tells of
    what an entry lets arrive, one that arrives of what it lets leave."""
    return tuple(
        entry if entry.outbound is entry.inbound else replace(entry, outbound=entry.inbound, inbound=entry.outbound)
        for entry in entries
    )


def flows(entries: Sequence[Entry], way: Way, verdict: Verdict) -> tuple[Flow, ...]:
    """The flows of one direction, in order of precedence."""
    return tuple(flow for entry in entries for flow in way(entry, entry.action, verdict(entry)))


def excepted(entries: Sequence[Entry], way: Way, verdict: Verdict, *, quoted: bool = False) -> tuple[Flow, ...]:
    """The same, and before those of an entry that may fall back to clear, that they pass while a peer is excepted. An
    exception stands inside its entry's own match, so it opens no other entry. ``quoted``: for ICMP errors, and so only
    where the entry has a single peer. The addresses they quote can't be looked up in the set, and who is talked to in
    clear has no say about others."""
    found = (flow for entry in entries for flow in _excepted(entry, way, verdict))
    return tuple(flow for flow in found if not (quoted and flow.while_clear and _many(flow)))


def _many(flow: Flow) -> bool:
    far = flow.source if flow.far == "saddr" else flow.destination
    return far.start != far.end


def _excepted(entry: Entry, way: Way, verdict: Verdict) -> tuple[Flow, ...]:
    own = way(entry, entry.action, verdict(entry))
    if not entry.fallback or entry.action is not Action.PROTECT:
        return own
    return tuple(_while_clear(flow, entry) for flow in own) + own


def _while_clear(flow: Flow, entry: Entry) -> Flow:
    """The exception from a flow. Without a tunnel the peer has to do with this machine alone, so nothing that is
    forwarded passes by it."""
    version = flow.source.version
    near = "daddr" if flow.far == "saddr" else "saddr"
    ours = f"{LOCAL[near]} " if entry.each and not flow.me else ""
    verdict = f"{ours}{'ip' if version == 4 else 'ip6'} {flow.far} @{CLEAR[version]} return"
    return replace(flow, action=Action.PERMIT, verdict=verdict, while_clear=True)


CLEAR = {4: "clear_ipv4", 6: "clear_ipv6"}  # the sets of peers that are talked to in clear now


def strays(entries: Sequence[Entry], verdict: Verdict, way: Way = out) -> tuple[Flow, ...]:
    """The flows of what this machine sends from an address that isn't its own: what ``me`` protects or blocks, by the
    destination alone. IPv6 lets a socket keep an address that the machine has lost, and what it sends mustn't escape
    with it."""
    return tuple(
        replace(flow, me="", source=_from_anywhere(flow.source.version, flow.source.protocol, flow.source.ports))
        for entry in entries
        if entry.me and entry.action is not Action.PERMIT
        for flow in way(entry, entry.action, verdict(entry))
    )


def _from_anywhere(version: int, protocol: int, ports: tuple[int, int]) -> Selector:
    return MEMORY.selector(replace(_ANYWHERE[version], protocol=protocol, ports=ports))


_ANYWHERE = {4: Selector.net("0.0.0.0/0"), 6: Selector.net("::/0")}


def blocked(name: str, entries: Sequence[Entry], ways: Iterable[Way], verdict: Verdict) -> Chains:
    """The chain ``name`` for forwarded packets: it gives a packet the verdict of the first entry that covers it in
    either direction, if that is a block. ``ways`` are the two directions."""
    return chains(name, either_way(entries, ways, verdict, lambda _: "return"))


def either_way(entries: Sequence[Entry], ways: Iterable[Way], verdict: Verdict, pass_on: Verdict) -> tuple[Flow, ...]:
    """The flows of both directions, by which ``blocked`` judges a packet: what doesn't block will ``pass_on``."""
    both = tuple(ways)
    found: list[Flow] = []
    for entry in entries:
        block = entry.action is Action.BLOCK
        action, then = (Action.BLOCK, verdict) if block else (Action.PERMIT, pass_on)
        every = (flow for way in both for flow in way(entry, action, then(entry)))
        found += {(flow.source, flow.destination, flow.me, flow.by): flow for flow in every}.values()
    return tuple(found)


def crossing(name: str, entries: Sequence[Entry], way: Way, verdict: Verdict) -> Chains:
    """The chain ``name`` for forwarded packets that aren't ``blocked``: the flows of one direction, of which those that
    block let go what isn't blocked by them."""
    own = excepted(entries, way, lambda entry: "return" if entry.action is Action.BLOCK else verdict(entry))
    return chains(name, standing_back(own))


def standing_back(flows: Iterable[Flow]) -> tuple[Flow, ...]:
    """The flows of one direction as ``crossing`` asks them: a block lets go what ``blocked`` doesn't count it for."""
    return tuple(replace(flow, action=Action.PERMIT) if flow.action is Action.BLOCK else flow for flow in flows)


def chains(name: str, flows: Sequence[Flow]) -> Chains:
    """The chain ``name`` that gives a packet the verdict of its first flow, and the chains it needs. A packet of no
    flow falls out at the end of the chain, to whoever jumped there."""
    if all(flow.certain for flow in flows):
        return _branched(name, flows, _by_addresses)
    clear, opaque = f"{name}_clear", f"{name}_opaque"
    dispatch = [
        f"ip frag-off & 0x3fff != 0 goto {opaque}",  # more fragments, or not the first one
        f"exthdr frag exists goto {opaque}",
        f"meta l4proto {PORTS} @th,0,32 & 0x0 == 0x0 goto {clear}",  # true wherever the field can be read
        f"meta l4proto {TYPES} @th,0,16 & 0x0 == 0x0 goto {clear}",
        f"meta l4proto != {EITHER} goto {clear}",
        f"goto {opaque}",
    ]
    meant = [flow for flow in flows if flow.certain or flow.action is not Action.PERMIT]
    return {
        name: dispatch,
        **_branched(clear, _with_ports(flows), _by_ports),
        **_branched(opaque, meant, _by_what_may_be_meant),
    }


def _with_ports(flows: Sequence[Flow]) -> list[Flow]:
    """Those that packets belong to whose ports can be seen, or that have none."""
    return [flow for flow in flows if flow.portless or not flow.opaque]


def _branched(name: str, flows: Sequence[Flow], words: Callable[[int], Words]) -> Chains:
    """Few flows are rules one after the other, many are a tree, with these words for each IP version."""
    if len(flows) < limits.FEW_FLOWS:
        return _in_a_row(name, flows, words(4))
    made: Chains = {name: []}
    for version in (4, 6):
        if some := [flow for flow in flows if flow.source.version == version]:
            made[name].append(f"meta nfproto ipv{version} goto {name}_v{version}")
            made |= tree(f"{name}_v{version}", some, words(version))
    return made


def _in_a_row(name: str, flows: Sequence[Flow], words: Words) -> Chains:
    """A rule for each."""
    chains = {name: words.written(flows)}
    return chains | reached(chains)


@cache
def _by_addresses(version: int) -> Words:
    return Words(ADDRESSES[version], _rules, lambda flow: flow.certain and ends(flow.verdict))


@cache
def _by_ports(version: int) -> Words:
    return Words(
        (*ADDRESSES[version], *TRANSPORT),
        _rules,
        lambda flow: (flow.certain or bool(flow.protocol)) and ends(flow.verdict),
    )


@cache
def _by_what_may_be_meant(version: int) -> Words:
    return Words(
        ADDRESSES[version],
        _opaque,
        lambda flow: flow.action is Action.BLOCK or (flow.certain and ends(flow.verdict)),
        in_turn=False,
    )


@cache
def _by_the_past(version: int) -> Words:
    family = {4: "ip", 6: "ip6"}[version]
    places = f"ct original {family} saddr", f"ct original {family} daddr"
    return Words(
        places,
        lambda flows: [rule(flow, "ct original ") for flow in flows],
        lambda flow: flow.certain and ends(flow.verdict),
    )


def _rules(flows: Sequence[Flow]) -> list[str]:
    return [rule(flow) for flow in flows]


def _opaque(flows: Sequence[Flow]) -> list[str]:
    """Blocks the packet might belong to; a certain match of another kind ends the search for them. Then, what no block
    wants: protects that might be meant, until an entry is certain."""
    blocks = next((place for place, flow in enumerate(reversed(flows)) if flow.action is Action.BLOCK), len(flows))
    ahead = flows[: len(flows) - blocks]
    left = [f"{addresses(flow)} {flow.verdict}" for flow in flows if flow.action is not Action.BLOCK]
    if not any(flow.certain for flow in ahead if flow.action is not Action.BLOCK):
        return [f"{addresses(flow)} {flow.verdict}" for flow in ahead if flow.action is Action.BLOCK] + left
    rest = f"goto {aside(left)}"
    asked = [flow for flow in ahead if flow.action is Action.BLOCK or flow.certain]
    return [f"{addresses(flow)} {flow.verdict if flow.action is Action.BLOCK else rest}" for flow in asked] + [rest]


def pieces(name: str, flows: Sequence[Flow], meant: Action | None = None) -> Chains:
    """The chain ``name`` that gives a fragment, before it is put together with others, the verdict of the first flow
    that is its own whatever its ports are. What blocks is left to the whole packet, and what only some ports belong
    to, unless that is of the action ``meant``: it takes every fragment that may be of it.

    The kernel puts IPv4 together by addresses, protocol and identification (RFC 791 section 3.2), IPv6 without the
    protocol (RFC 8200 section 4.5). So of IPv6 no fragment says of which protocol the packet will be.
    """
    found = []
    for flow in flows:
        source, destination = map(_shown_by_fragments, (flow.source, flow.destination))
        own = source is flow.source and destination is flow.destination
        if (own and flow.action is not Action.BLOCK) or flow.action is meant:
            found.append(replace(flow, source=source, destination=destination))
    return _branched(name, found, _by_addresses)


def _shown_by_fragments(side: Selector) -> Selector:
    protocol = side.protocol if side.version == 4 else 0
    if (protocol, ANY_PORT) == (side.protocol, side.ports):
        return side
    return MEMORY.selector(Selector(side.start, side.end, protocol))


def original(name: str, flows: Sequence[Flow]) -> Chains:
    """The chain ``name`` that gives a packet the verdict of its first flow, as it was before destination NAT, when it
    was for this machine, or for a group. It is whole: others have no such past."""
    return _branched(name, _with_ports(flows), _by_the_past)


@dataclass(frozen=True, slots=True)
class Quoted:
    """Where an ICMP error has the fields of the packet it quotes, in nft's words: behind the eight octets of its own
    header, and if that packet has no options."""

    protocol: str
    sport: str
    dport: str
    source: str
    destination: str


def quoting(name: str, flows: Sequence[Flow], exempt: Callable[[Quoted], Iterable[str]] = lambda _: ()) -> Chains:
    """The chain ``name`` that gives an ICMP error the verdict of the protecting flow its quoted packet answers, by
    addresses alone. An error to this machine that quotes what is ``exempt``, of which that gives matches, is left
    alone."""
    result = {
        name: [
            f"meta l4proto {protocol} @th,0,8 {{ {', '.join(map(str, types))} }} goto {name}_v{version}"
            for version, (protocol, types) in zip((4, 6), ICMP_ERRORS.items(), strict=True)
        ]
    }
    found = [
        replace(flow, verdict="return" if flow.action is Action.BLOCK else flow.verdict)
        for flow in flows
        if flow.action is Action.PROTECT or flow.certain
    ]
    for version, place in _QUOTED.items():
        ours = [f"fib daddr type local {quoted} return" for quoted in exempt(place)]
        some = [flow for flow in found if flow.source.version == version]
        words = _by_the_quoted(version)
        chain = f"{name}_v{version}"
        made = (_in_a_row if len(some) < limits.FEW_FLOWS else tree)(chain, some, words)
        made[chain][:0] = ours
        result |= made
    return result


ICMP_ERRORS = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}  # types that quote a packet, by protocol: RFC 792, RFC 4443
_QUOTED = {
    4: Quoted("@th,136,8", "@th,224,16", "@th,240,16", "@th,160,32", "@th,192,32"),
    6: Quoted("@th,112,8", "@th,384,16", "@th,400,16", "@th,128,128", "@th,256,128"),
}


@cache
def _by_the_quoted(version: int) -> Words:
    place = _QUOTED[version]
    return Words((place.destination, place.source), partial(_answers, place), lambda flow: ends(flow.verdict))


def _answers(place: Quoted, flows: Sequence[Flow]) -> list[str]:
    """The flows as rules for an error that quotes a packet which they answer."""
    rules = [
        (
            _quoted("saddr", place.destination, flow.source, flow),
            _quoted("daddr", place.source, flow.destination, flow),
            *filter(None, (flow.by,)),
            flow.verdict,
        )
        for flow in flows
    ]
    return [" ".join(words) for words in rules]


def _quoted(side: str, place: str, selector: Selector, flow: Flow) -> str:
    """One address of the quoted packet. Who complains of a packet to this machine is this machine, and who gets the
    complaint about one from it is it too: then the address of the error itself tells."""
    if side == flow.me:
        return LOCAL[side]
    first, last = hex(int(selector.start)), hex(int(selector.end))
    return f"{place} {first}" if first == last else f"{place} {first}-{last}"


def names(interfaces: Iterable[str]) -> str:
    """A set of interfaces in nft's words."""
    return "{ " + ", ".join(f'"{name}"' for name in interfaces) + " }"
