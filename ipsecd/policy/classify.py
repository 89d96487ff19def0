"""Which entry of the plan a packet belongs to, said in nftables: ordered chains that take the first match.

A chain here is a list of rules in nft's own words. One set of entries is written out once per use (steering a packet
out, dropping one that leaves, dropping one that arrives), because an nft chain can't be given its verdicts as
arguments.

A packet that is forwarded arrives and leaves, so an entry may cover it either way. Each protecting entry that does is
obeyed. A block counts only if nothing that stands before it covers the packet, in either way (``crossing``).

Ports and ICMP types are read from the transport header. Where that can't be done (a fragment, a truncated packet, an
extension header the kernel doesn't follow), the addresses alone decide, and of all entries that might be meant the
strictest wins: block before protect before permit (RFC 4301 section 7 leaves no port to match either).

An ICMP error quotes the packet it complains of. One about a packet that came out of an SA would carry its beginning
back in clear, so an error also belongs to the entry of the packet it quotes, reversed (RFC 4301 section 6.2); and one
that arrives in clear can't speak of a packet that left inside an SA (section 6.1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import summarize_address_range

from ipsecd.policy.exempt import GROUPS
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Selector

Chains = dict[str, list[str]]

WITH_PORTS = (6, 17, 33, 132, 136)  # TCP, UDP, DCCP, SCTP, UDP-Lite: both ports in the first four octets
WITH_TYPES = (int(IpProtocol.ICMP), int(IpProtocol.ICMPV6))  # type and code in the first two octets


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a pair of an entry, and what happens to its packets in nft's words. ``action`` says how strict
    that is; ``me`` is the side that is this machine, in nft's words too: saddr, daddr, or none. The kernel knows which
    addresses that are at each moment, also before anybody has told us of a new one."""

    action: Action
    source: Selector
    destination: Selector
    verdict: str
    me: str = ""
    far: str = ""  # the side that isn't ours, likewise
    by: str = ""  # the interfaces it covers packets on, in nft's words; empty: any
    while_clear: bool = False  # the verdict counts only for peers that are talked to in clear now

    @property
    def certain(self) -> bool:
        """Whether the addresses alone decide if a packet belongs to it."""
        return not _protocol(self.source, self.destination) and self.source.ports == self.destination.ports == ANY_PORT


Verdict = Callable[[int, Entry], str]
"""What happens to the packets of an entry, by its index in the plan."""

Way = Callable[[int, Entry, Action, str], tuple[Flow, ...]]
"""``out`` or ``into``: an entry's flows of that direction, with an action and a verdict; none if it has no such."""


def out(_index: int, entry: Entry, action: Action, verdict: str) -> tuple[Flow, ...]:
    """The flows of packets that leave."""
    if not entry.outbound:
        return ()
    pairs, me = (entry.me, "saddr") if entry.me else (entry.pairs, "")
    return tuple(Flow(action, local, remote, verdict, me, "daddr") for local, remote in pairs)


def into(_index: int, entry: Entry, action: Action, verdict: str) -> tuple[Flow, ...]:
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
    return tuple(replace(entry, outbound=entry.inbound, inbound=entry.outbound) for entry in entries)


def flows(entries: Sequence[Entry], way: Way, verdict: Verdict) -> tuple[Flow, ...]:
    """The flows of one direction, in order of precedence."""
    return tuple(
        flow for index, entry in enumerate(entries) for flow in way(index, entry, entry.action, verdict(index, entry))
    )


def excepted(entries: Sequence[Entry], way: Way, verdict: Verdict, *, quoted: bool = False) -> tuple[Flow, ...]:
    """The same, and before those of an entry that may fall back to clear, that they pass while a peer is excepted. An
    exception stands inside its entry's own match, so it opens no other entry. ``quoted``: for ICMP errors, and so only
    where the entry has a single peer. The addresses they quote can't be looked up in the set, and who is talked to in
    clear has no say about others."""
    found = (flow for index, entry in enumerate(entries) for flow in _excepted(index, entry, way, verdict))
    return tuple(flow for flow in found if not (quoted and flow.while_clear and _many(flow)))


def _many(flow: Flow) -> bool:
    far = flow.source if flow.far == "saddr" else flow.destination
    return far.start != far.end


def _excepted(index: int, entry: Entry, way: Way, verdict: Verdict) -> tuple[Flow, ...]:
    own = way(index, entry, entry.action, verdict(index, entry))
    if not entry.fallback or entry.action is not Action.PROTECT:
        return own
    return tuple(_while_clear(flow, entry) for flow in own) + own


def _while_clear(flow: Flow, entry: Entry) -> Flow:
    """The exception from a flow. Without a tunnel the peer has to do with this machine alone, so nothing that is
    forwarded passes by it."""
    version = flow.source.version
    near = "daddr" if flow.far == "saddr" else "saddr"
    ours = f"{_LOCAL[near]} " if entry.each and not flow.me else ""
    verdict = f"{ours}{'ip' if version == 4 else 'ip6'} {flow.far} @{CLEAR[version]} return"
    return replace(flow, action=Action.PERMIT, verdict=verdict, while_clear=True)


CLEAR = {4: "clear_ipv4", 6: "clear_ipv6"}  # the sets of peers that are talked to in clear now


def strays(entries: Sequence[Entry], verdict: Verdict, way: Way = out) -> tuple[Flow, ...]:
    """The flows of what this machine sends from an address that isn't its own: what ``me`` protects or blocks, by the
    destination alone. IPv6 lets a socket keep an address that the machine has lost, and what it sends mustn't escape
    with it."""
    return tuple(
        replace(flow, me="", source=Selector.net(_ANY[flow.source.version], flow.source.protocol, flow.source.ports))
        for index, entry in enumerate(entries)
        if entry.me and entry.action is not Action.PERMIT
        for flow in way(index, entry, entry.action, verdict(index, entry))
    )


_ANY = {4: "0.0.0.0/0", 6: "::/0"}


def crossing(name: str, entries: Sequence[Entry], way: Way, other: Way, verdict: Verdict) -> Chains:
    """The chain ``name`` for forwarded packets: the flows of one direction, but a block doesn't count for a packet that
    an entry before it covers in the other direction."""
    both = f"{name}_both"
    pass_on, stand_back = (lambda *_: f"goto {both}"), (lambda *_: "return")
    first, then = crossing_flows(entries, way, other, verdict, pass_on, stand_back, exceptions=True)
    return chains(name, first) | chains(both, then)


def crossing_flows(
    entries: Sequence[Entry],
    way: Way,
    other: Way,
    verdict: Verdict,
    pass_on: Verdict,
    stand_back: Verdict,
    *,
    exceptions: bool = False,
) -> tuple[tuple[Flow, ...], tuple[Flow, ...]]:
    """The flows of both directions, of which those that let a packet go in the other one ``pass_on``; and the flows by
    which such a packet is then judged, all of one direction, where blocks ``stand_back``. ``exceptions``: with those
    that peers pass by."""
    first: list[Flow] = []
    then: list[Flow] = []
    for index, entry in enumerate(entries):
        own = (
            _excepted(index, entry, way, verdict)
            if exceptions
            else way(index, entry, entry.action, verdict(index, entry))
        )
        first += own
        if entry.action is Action.BLOCK:
            first += other(index, entry, Action.BLOCK, verdict(index, entry))
            then += way(index, entry, Action.PERMIT, stand_back(index, entry))
        else:
            first += other(index, entry, Action.PERMIT, pass_on(index, entry))
            then += own
    return tuple(first), tuple(then)


def chains(name: str, flows: Sequence[Flow]) -> Chains:
    """The chain ``name`` that gives a packet the verdict of its first flow, and the chains it needs. A packet of no
    flow falls out at the end of the chain, to whoever jumped there."""
    if all(flow.certain for flow in flows):
        return {name: [_rule(flow) for flow in flows]}
    clear, blocks, rest = f"{name}_clear", f"{name}_opaque", f"{name}_opaque_rest"
    ports, types = (", ".join(map(str, protocols)) for protocols in (WITH_PORTS, WITH_TYPES))
    dispatch = [
        f"ip frag-off & 0x3fff != 0 goto {blocks}",  # more fragments, or not the first one
        f"exthdr frag exists goto {blocks}",
        f"meta l4proto {{ {ports} }} @th,0,32 & 0x0 == 0x0 goto {clear}",  # true wherever the field can be read
        f"meta l4proto {{ {types} }} @th,0,16 & 0x0 == 0x0 goto {clear}",
        f"meta l4proto != {{ {ports}, {types} }} goto {clear}",
        f"goto {blocks}",
    ]
    return {
        name: dispatch,
        clear: [_rule(flow) for flow in flows if OPAQUE not in (flow.source.ports, flow.destination.ports)],
        blocks: [*_opaque_blocks(flows, rest), f"goto {rest}"],
        rest: list(_opaque_rest(flows)),
    }


def pieces(name: str, flows: Sequence[Flow], *, exceptions: bool) -> Chains:
    """The chain ``name`` that gives a fragment, before it is put together with others, the verdict of the first flow
    that is its own whatever its ports are. What blocks is left to the whole packet, and what only some ports belong
    to; with ``exceptions``, a fragment that such a permit may be meant for is let go.

    The kernel puts IPv4 together by addresses, protocol and identification (RFC 791 section 3.2), IPv6 without the
    protocol (RFC 8200 section 4.5). So of IPv6 no fragment says of which protocol the packet will be.
    """
    rules = []
    for flow in flows:
        source, destination = (
            Selector(side.start, side.end, side.protocol if side.version == 4 else 0)
            for side in (flow.source, flow.destination)
        )
        own = (source, destination) == (flow.source, flow.destination)
        if (own and flow.action is not Action.BLOCK) or (exceptions and flow.action is Action.PERMIT):
            rules.append(_rule(replace(flow, source=source, destination=destination)))
    return {name: rules}


def original(name: str, flows: Sequence[Flow]) -> Chains:
    """The chain ``name`` that gives a packet the verdict of its first flow, as it was before destination NAT, when it
    was for this machine, or for a group. It is whole: others have no such past."""
    return {name: [_rule(flow, "ct original ") for flow in flows]}


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
    for version, place in _QUOTED.items():
        ours = [f"fib daddr type local {quoted} return" for quoted in exempt(place)]
        result[f"{name}_v{version}"] = ours + [
            " ".join(
                (
                    _quoted("saddr", place.destination, flow.source, flow),
                    _quoted("daddr", place.source, flow.destination, flow),
                    *filter(None, (flow.by,)),
                    "return" if flow.action is Action.BLOCK else flow.verdict,
                )
            )
            for flow in flows
            if flow.source.version == version and (flow.action is Action.PROTECT or flow.certain)
        ]
    return result


ICMP_ERRORS = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}  # types that quote a packet, by protocol: RFC 792, RFC 4443
_QUOTED = {
    4: Quoted("@th,136,8", "@th,224,16", "@th,240,16", "@th,160,32", "@th,192,32"),
    6: Quoted("@th,112,8", "@th,384,16", "@th,400,16", "@th,128,128", "@th,256,128"),
}


def _quoted(side: str, place: str, selector: Selector, flow: Flow) -> str:
    """One address of the quoted packet. Who complains of a packet to this machine is this machine, and who gets the
    complaint about one from it is it too: then the address of the error itself tells."""
    if side == flow.me:
        return _LOCAL[side]
    first, last = hex(int(selector.start)), hex(int(selector.end))
    return f"{place} {first}" if first == last else f"{place} {first}-{last}"


def _opaque_blocks(flows: Sequence[Flow], rest: str) -> Iterator[str]:
    """Blocks the packet might belong to; a certain match of another kind ends the search for them."""
    for flow in flows:
        if flow.action is Action.BLOCK:
            yield f"{_addresses(flow)} {flow.verdict}"
        elif flow.certain:
            yield f"{_addresses(flow)} goto {rest}"


def _opaque_rest(flows: Sequence[Flow]) -> Iterator[str]:
    """What no block wants: protects that might be meant, until an entry is certain."""
    for flow in flows:
        if flow.action is Action.PROTECT or (flow.action is Action.PERMIT and flow.certain):
            yield f"{_addresses(flow)} {flow.verdict}"


def _rule(flow: Flow, when: str = "") -> str:
    ports = ("ct original proto-src", "ct original proto-dst") if when else ("th sport", "th dport")
    words = (_addresses(flow, when), _transport(flow, ports), flow.verdict)
    return " ".join(word for word in words if word)


def _addresses(flow: Flow, when: str = "") -> str:
    family = "ip" if flow.source.version == 4 else "ip6"
    sides = (("saddr", flow.source), ("daddr", flow.destination))
    given = [(side, selector) for side, selector in sides if side != flow.me and not selector.any_address]
    words = [f"{when}{family} {side} {_range(selector)}" for side, selector in given]
    words = words or [f"meta nfproto ipv{flow.source.version}"]
    if flow.me:  # what a packet was for before NAT can't be asked of the routing tables; a group isn't this machine
        words.append(f"{when}{family} {flow.me} != {GROUPS[flow.source.version]}" if when else _LOCAL[flow.me])
    return " ".join([*words, flow.by] if flow.by else words)


def names(interfaces: Iterable[str]) -> str:
    """A set of interfaces in nft's words."""
    return "{ " + ", ".join(f'"{name}"' for name in interfaces) + " }"


# What a router's services hear comes to its networks' subnet-router anycast addresses too (RFC 4291 section 2.6.1).
_LOCAL = {"saddr": "fib saddr type local", "daddr": "fib daddr type { local, anycast }"}


def _range(selector: Selector) -> str:
    if selector.start == selector.end:
        return str(selector.start)
    networks = list(summarize_address_range(selector.start, selector.end))
    return str(networks[0]) if len(networks) == 1 else f"{selector.start}-{selector.end}"


def _transport(flow: Flow, names: tuple[str, str]) -> str:
    """Protocol and ports. A pair has one protocol; for ICMP the ports of either side hold type*256+code."""
    protocol = _protocol(flow.source, flow.destination)
    if protocol in WITH_TYPES:
        types = flow.destination.ports if flow.source.ports == ANY_PORT else flow.source.ports
        return f"meta l4proto {protocol}" + ("" if types == ANY_PORT else f" @th,0,16 {_span(types)}")
    sides = zip(names, (flow.source.ports, flow.destination.ports), strict=True)
    ports = [f"{name} {_span(span)}" for name, span in sides if span != ANY_PORT]
    if not protocol and ports:
        return " ".join([f"meta l4proto {{ {', '.join(map(str, WITH_PORTS))} }}", *ports])
    return " ".join([f"meta l4proto {protocol}", *ports]) if protocol else ""


def _protocol(source: Selector, destination: Selector) -> int:
    return int(source.protocol or destination.protocol)


def _span(span: tuple[int, int]) -> str:
    first, last = span
    return str(first) if first == last else f"{first}-{last}"
