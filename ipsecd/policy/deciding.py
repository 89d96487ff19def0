"""Which entry the floor lets decide about one packet: what nftables does with the chains that are made of the flows of
``classify.py``, and what the SPD does with its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from ipsecd.ipsec.selectors import UNSEEN, SaSelectors
from ipsecd.ipsec.selectors import Flow as Packet
from ipsecd.policy import classify
from ipsecd.policy.classify import ICMP_ERRORS
from ipsecd.policy.constant_sets import WITH_PORTS, WITH_TYPES
from ipsecd.policy.flow import Flow
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import ANY_PORT, Address, Selector


class Way(Enum):
    """The way of a packet past this machine. What is forwarded is judged twice: as it enters, and as it leaves."""

    SENT = "sent"
    RECEIVED = "received"
    ENTERING = "entering"
    LEAVING = "leaving"

    @property
    def outbound(self) -> bool:
        """Whether it is on its way out."""
        return self in (Way.SENT, Way.LEAVING)

    @property
    def forwarded(self) -> bool:
        """Whether it is neither from this machine nor for it."""
        return self in (Way.ENTERING, Way.LEAVING)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the floor sees of a packet; ``ours`` are this machine's addresses, ``anycasts`` those that it hears as a
    router among others."""

    packet: Packet
    ours: frozenset[Address]
    anycasts: frozenset[Address] = frozenset()

    @property
    def opaque(self) -> bool:
        """Whether its protocol has ports, or ICMP's types, and it shows none. One port that is UNSEEN beside another
        stands for a number that no filter names."""
        ports = {self.packet.source_port, self.packet.destination_port}
        return self.packet.protocol in (*WITH_PORTS, *WITH_TYPES) and ports == {UNSEEN}

    def between(self, flow: Flow) -> bool:
        """Whether its addresses are those of a flow."""
        source, destination = self.packet.addresses()
        return (
            flow.source.version == self.packet.version
            and (source in self.ours if flow.me == "saddr" else _holds(flow.source, source))
            and (self.hears(destination) if flow.me == "daddr" else _holds(flow.destination, destination))
        )

    def hears(self, address: Address) -> bool:
        """Whether what goes to this address is for this machine."""
        return address in self.ours or address in self.anycasts

    def within(self, flow: Flow) -> bool:
        """Whether it is a packet of a flow, as far as it can be seen."""
        if not self.between(flow) or flow.protocol not in (0, self.packet.protocol):
            return False
        if flow.opaque:
            return flow.portless and self.packet.protocol not in (*WITH_PORTS, *WITH_TYPES)
        if flow.protocol in WITH_TYPES:
            return _has(flow.types, self.packet.source_port)
        return _has(flow.source.ports, self.packet.source_port) and _has(
            flow.destination.ports, self.packet.destination_port
        )


def _holds(selector: Selector, address: Address) -> bool:
    return int(selector.start) <= int(address) <= int(selector.end)


def _has(ports: tuple[int, int], port: int) -> bool:
    return ports == ANY_PORT or ports[0] <= port <= ports[1]


def deciding(flows: Iterable[Flow], seen: Seen) -> Flow | None:
    """The flow whose verdict a packet gets. Where it shows no ports, the strictest of those that may be meant."""
    if not seen.opaque:
        return next((flow for flow in flows if seen.within(flow)), None)
    meant = [flow for flow in flows if seen.between(flow)]
    return _block(meant) or next((flow for flow in meant if _lets_go(flow)), None)


def _block(meant: Sequence[Flow]) -> Flow | None:
    for flow in meant:
        if flow.action is Action.BLOCK:
            return flow
        if flow.certain:
            return None
    return None


def _lets_go(flow: Flow) -> bool:
    return flow.action is Action.PROTECT or (flow.action is Action.PERMIT and flow.certain)


def concerned(flows: Iterable[Flow], seen: Seen) -> tuple[Flow, ...]:
    """All flows that would decide about a packet, or might, if those before them weren't there."""
    return tuple(flow for flow in flows if (seen.between(flow) if seen.opaque else seen.within(flow)))


# --- the entries -------------------------------------------------------------------------------------------------


class Decided(NamedTuple):
    """``entry`` decides, by its index, and lets pass what has no ``action``. ``passed_on`` is the one, -1 if there is
    none, that covers the packet in its other direction, and keeps the blocks behind it from deciding."""

    entry: int = -1
    action: Action | None = None
    passed_on: int = -1


NEW = "ipsecd hasn't taken notice yet of an address that this machine has got"
LOST = "it has the address of another machine, or one that this machine has lost"


def _named(entry: Entry) -> str:
    return entry.name


def _covers(entry: Entry, types: frozenset[str]) -> bool:
    """Whether an entry is for the interfaces that a packet goes by, if these are of those types of connection."""
    return not entry.connections or types == {entry.connections}


def _by(way: classify.Way, types: frozenset[str]) -> classify.Way:
    return lambda entry, action, verdict: way(entry, action, verdict) if _covers(entry, types) else ()


def _holds_outbound(entry: Entry, flow: Packet) -> bool:
    return any(SaSelectors((local,), (remote,)).hold_outbound(flow) for local, remote in entry.pairs)


def _holds_inbound(entry: Entry, flow: Packet) -> bool:
    return any(SaSelectors((local,), (remote,)).hold_inbound(flow) for local, remote in entry.pairs)


def _excepting(own: classify.Way, *, near: bool) -> classify.Way:
    """Before the flows of an entry that may fall back to clear, that they pass (``classify.excepted``). ``near``: the
    packet's end that isn't the peer is this machine."""

    def way(entry: Entry, action: Action, verdict: str) -> tuple[Flow, ...]:
        found = own(entry, action, verdict)
        if not entry.fallback or action is not Action.PROTECT or (entry.each and not near):
            return found
        return tuple(replace(flow, action=Action.PERMIT) for flow in found) + found

    return way


@dataclass(frozen=True)
class Case:
    """A packet before the floor. ``forth`` and ``back`` are the types of connection by which it may leave, and by which
    it may have come; empty for an interface that isn't known yet. ``excepted`` are the peers with a soft SA."""

    plan: Plan
    way: Way
    seen: Seen
    forth: frozenset[str] = frozenset()
    back: frozenset[str] = frozenset()
    excepted: frozenset[Address] = frozenset()

    @cached_property
    def _indexes(self) -> Mapping[str, int]:
        return {entry.name: index for index, entry in enumerate(self.plan.entries)}

    def _index(self, flow: Flow) -> int:
        """Of the entry that a flow is of."""
        return self._indexes[flow.verdict]

    def decided(self) -> Decided:
        if self.way.forwarded:
            return self._crossing()
        flow = deciding(self._flows(), self.seen)
        return Decided() if flow is None else Decided(self._index(flow), flow.action)

    def _crossing(self) -> Decided:
        """What is forwarded arrives and leaves: ``classify.crossing`` says what that means for blocks."""
        first = deciding(classify.either_way(self.plan.entries, self._ways(), _named, _named), self.seen)
        if first is not None and first.action is Action.BLOCK:
            return Decided(self._index(first), first.action)
        own, index = deciding(classify.standing_back(self._flows()), self.seen), self._index
        other = -1 if first is None or (own is not None and index(own) <= index(first)) else index(first)
        if own is None or self.plan.entries[index(own)].action is Action.BLOCK:
            return Decided(passed_on=other)
        return Decided(index(own), own.action, other)

    def covering(self) -> tuple[int, ...]:
        """The entries that cover the packet on its way, by index; those that block, in either direction if it is
        forwarded."""
        found = {self._index(flow) for flow in concerned(self._flows(), self.seen)}
        if self.way.forwarded:
            others = classify.flows(self.plan.entries, self._ways()[1], _named)
            blocks = [flow for flow in others if flow.action is Action.BLOCK]
            found |= {self._index(flow) for flow in concerned(blocks, self.seen)}
        return tuple(sorted(found))

    def elsewhere(self) -> tuple[int, ...]:
        """The entries that would cover the packet if it went by connections of their own type, by index."""
        known = set(self.covering())
        types = {entry.connections for entry in self.plan.entries if entry.connections}
        cases = (replace(self, forth=frozenset({each}), back=frozenset({each})) for each in types)
        return tuple(sorted({index for case in cases for index in case.covering() if index not in known}))

    @property
    def connection(self) -> str:
        """The type of connection by which the packet goes; empty if it isn't known, or may be any of several."""
        types = self.forth if self.way.outbound else self.back
        return next(iter(types)) if len(types) == 1 else ""

    def _flows(self, entries: Sequence[Entry] | None = None) -> tuple[Flow, ...]:
        """Those of one direction. Strays are of what this machine sends from an address that it has lost."""
        way, _ = self._ways()
        own = classify.flows(self._entries() if entries is None else entries, way, _named)
        strays = classify.strays(self.plan.entries, _named, _by(classify.out, self.forth))
        return own + strays if self.way is Way.SENT else own

    def _entries(self) -> tuple[Entry, ...]:
        """As the packet meets them in clear."""
        return self.plan.entries if self.way.outbound else classify.let_in(self.plan.entries)

    def _ways(self) -> tuple[classify.Way, classify.Way]:
        """Its own direction, and the other."""
        out, into = _by(classify.out, self.forth), _by(classify.into, self.back)
        own, other = (out, into) if self.way.outbound else (into, out)
        source, destination = self.seen.packet.addresses()
        far, near = (
            (destination, source in self.seen.ours) if self.way.outbound else (source, self.seen.hears(destination))
        )
        return (_excepting(own, near=near) if far in self.excepted else own), other

    def by_soft_sa(self, decided: Decided) -> bool:
        """Whether the entry that decides, which protects, lets a packet pass in clear as its peer has a soft SA, and
        not as it lets everybody in."""
        return self.way.outbound or not self.plan.entries[decided.entry].passthrough

    def inside_alone(self, decided: Decided) -> bool:
        """Whether the packet passes inside an SA, though the floor, which may not know which rule is for it, stops it
        in clear."""
        unseen = self.seen.opaque and decided.action is Action.BLOCK
        entry = self.held() if not self.way.outbound and (unseen or self._unknown()) else None
        return entry is not None and entry.action is Action.PROTECT and not self.unpaired(entry)

    def stopped_at_the_interface(self, decided: Decided) -> bool:
        """Whether it is dropped in clear, whoever covers it, for an interface that isn't known yet. What leaves gets
        there last."""
        return self._unknown() and not (self.way.outbound and decided.action is Action.BLOCK)

    def _unknown(self) -> bool:
        return self.plan.by_connection and "" in (self.forth if self.way.outbound else self.back)

    def held(self) -> Entry | None:
        """The entry that the SPD finds (RFC 4301 section 4.4.1): it has a row for each pair, of a rule for one type of
        connection as far as the address at the far end is reached so (``reach.py``). None if it finds none, or one that
        discards the packet, as the address may be reached by either type."""
        flow, outbound = self.seen.packet, self.way.outbound
        types, holds = (self.forth, _holds_outbound) if outbound else (self.back, _holds_inbound)
        for entry in self.plan.entries:
            meant = entry.inside_too and (entry.outbound if outbound else entry.inbound)
            if meant and (not entry.connections or entry.connections in types) and holds(entry, flow):
                return entry if _covers(entry, types) else None
        return None

    @property
    def doubtful(self) -> bool:
        """Whether the address at the far end may be reached by more than one type of connection."""
        return len(self.forth if self.way.outbound else self.back) > 1

    def unpaired(self, entry: Entry) -> str:
        """Why an entry of pairs of hosts has no SA for the packet; empty if it may have one, or is no such entry."""
        source, destination = self.seen.packet.addresses()
        near = source if self.way.outbound else destination
        if not entry.each:
            return ""
        if near not in self.seen.ours:
            return LOST if self.way is Way.SENT else "a rule without a tunnel protects nothing that goes between others"
        if source.version == 6 and (source.is_link_local or destination.is_link_local):
            return "nobody negotiates between link-local addresses"
        children = (child for peer in self.plan.peers for child in peer.children if child.name == entry.child)
        known = {each.start for child in children for each in child.local}
        return "" if near in known else NEW

    def remarks(self) -> str:
        """What is to be said beside the verdict."""
        return "; ".join(filter(None, (self._opaquely(), self.whichever())))

    def way_back(self) -> str:
        """A remark if the packet, which passes in clear, is the way back of what an entry protects on its way out: it
        passes inside an SA of that too (``Spd.received``)."""
        if self.way.outbound:
            return ""
        protecting = (entry for entry in self.plan.entries if entry.action is Action.PROTECT and not entry.inbound)
        back = (entry for entry in protecting if _covers(entry, self.back))
        holding = (entry for entry in back if _holds_inbound(entry, self.seen.packet) and not self.unpaired(entry))
        found = next(holding, None)
        return f"inside an SA of {found.name}, which is for the other direction, it passes too" if found else ""

    def whichever(self) -> str:
        """That it isn't known by which type of connection such packets go, if a rule is for one."""
        types, way = (self.forth, classify.out) if self.way.outbound else (self.back, classify.into)
        flows = classify.flows([entry for entry in self.plan.entries if entry.connections], way, _named)
        told = "told without the rules for one type of connection: no route says by which it goes, or several do"
        return told if len(types) != 1 and concerned(flows, self.seen) else ""

    def _opaquely(self) -> str:
        """A remark if ports decide, and the packet shows none."""
        flows = concerned(self._flows(), self.seen) if self.seen.opaque else ()
        certain = all(flow.certain for flow in flows)
        return "" if certain else "it shows no ports: the strictest that may be meant counts"

    def unless_about(self) -> str:
        """A remark on ICMP errors that pass in clear: what they quote counts too (``classify.quoting``), and of a
        passthrough too, as none of that has left in clear."""
        packet = self.seen.packet
        types = ICMP_ERRORS.get(packet.protocol, ())
        error = bool(types) and (self.seen.opaque or packet.source_port >> 8 in types)
        flows = (
            flow for flow in self._flows(classify.turned(self.plan.entries)) if flow.source.version == packet.version
        )
        protecting = any(flow.action is Action.PROTECT for flow in flows)
        return "an error about what a rule protects is dropped all the same" if error and protecting else ""
