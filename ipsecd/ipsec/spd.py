"""The security policy database (RFC 4301 section 4.4.1): an ordered list, the first entry that holds a packet wins.

Both directions ask the same compiled rows; answers are remembered per flow. A new policy is a new ``Spd``, so what
was remembered for the old generation goes with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ipsecd import limits
from ipsecd.errors import LocalError
from ipsecd.ipsec.selectors import UNSEEN, Flow, Side, compile_side
from ipsecd.ipsec.tunnel import AS_INNER, OuterHeader
from ipsecd.wire.selector import Selector


class Direction(Enum):
    """The way a packet goes, seen from us."""

    OUTBOUND = "out"
    INBOUND = "in"


PROTECT, BYPASS, DISCARD = ACTIONS = ("protect", "bypass", "discard")


@dataclass(frozen=True, slots=True)
class SpdEntry:
    """One entry of the SPD, in order of precedence (RFC 4301 section 4.4.1). ``action`` is protect, bypass or discard;
    ``child`` names the child that protects it, ``header`` says what the outer header takes from the packet (section
    4.4.1.2). A packet belongs to the first entry one of whose pairs holds it: going out, ``local`` matches its source
    and ``remote`` its destination; coming in, the other way round."""

    name: str
    rule: str
    action: str
    pairs: tuple[tuple[Selector, Selector], ...]  # (local, remote)
    child: str = ""
    outbound: bool = True  # applies to packets going out
    inbound: bool = True  # applies to packets coming in
    header: OuterHeader = AS_INNER


class _Row(NamedTuple):
    """One pair of an entry: the remote side stands first because it tells rules apart soonest."""

    remote_low: int
    remote_high: int
    local_low: int
    local_high: int
    protocol: int
    remote_ports: tuple[int, int]
    local_ports: tuple[int, int]
    entry: SpdEntry


@dataclass(frozen=True, slots=True)
class Explanation:
    """The entry that decides about a flow, None if none does, and those that would if it weren't there, in order."""

    winner: SpdEntry | None
    runners_up: tuple[SpdEntry, ...]


class Spd:
    """An immutable policy database with a bounded memory of its answers. Raises LocalError for an unknown action, or
    a protect entry that names no child."""

    def __init__(self, entries: tuple[SpdEntry, ...] = (), generation: int = 0) -> None:
        for entry in entries:
            if entry.action not in ACTIONS:
                raise LocalError(f"SPD entry {entry.name}: {entry.action} is no action")
            if entry.action == PROTECT and not entry.child:
                raise LocalError(f"SPD entry {entry.name} protects by no child")
        self.entries = entries
        self.generation = generation
        self._rows = {direction: _compile(entries, direction) for direction in Direction}
        self._cache: dict[Direction, OrderedDict[Flow, SpdEntry | None]] = {
            direction: OrderedDict() for direction in Direction
        }

    def lookup(self, flow: Flow, direction: Direction) -> SpdEntry | None:
        """The entry that decides about a packet of this flow; None: none does, and the packet is to be discarded."""
        cache = self._cache[direction]
        try:
            return cache[flow]
        except KeyError:
            entry = next(self._matches(flow, direction), None)
        if len(cache) >= limits.MAX_FLOWS:
            cache.popitem(last=False)
        cache[flow] = entry
        return entry

    def ports_decide(self, flow: Flow, direction: Direction) -> bool:
        """Whether it may depend on ports which entry decides about a packet of this flow; those in ``flow`` don't
        count. ``protocol`` UNSEEN: nor is the protocol known, and it may decide too (RFC 4301 section 7)."""
        for row in self._between(flow, direction):
            if row.protocol not in (0, flow.protocol) and flow.protocol != UNSEEN:
                continue
            return (row.protocol != 0 and flow.protocol == UNSEEN) or not (
                row.remote_ports[0] <= UNSEEN <= row.remote_ports[1]
                and row.local_ports[0] <= UNSEEN <= row.local_ports[1]
            )
        return False

    def explain(self, flow: Flow, direction: Direction) -> Explanation:
        """Who decides about a packet of this flow, and who would after them."""
        found = list(dict.fromkeys(self._matches(flow, direction)))
        return Explanation(found[0] if found else None, tuple(found[1:]))

    def _matches(self, flow: Flow, direction: Direction) -> Iterator[SpdEntry]:
        remote_port, local_port = flow.destination_port, flow.source_port
        if direction is Direction.INBOUND:
            remote_port, local_port = local_port, remote_port
        for row in self._between(flow, direction):
            if (
                row[4] in (0, flow.protocol)
                and row[5][0] <= remote_port <= row[5][1]
                and row[6][0] <= local_port <= row[6][1]
            ):
                yield row[7]

    def _between(self, flow: Flow, direction: Direction) -> Iterator[_Row]:
        """The rows that hold the addresses of a flow."""
        local, remote = flow.source, flow.destination
        if direction is Direction.INBOUND:
            local, remote = remote, local
        for row in self._rows[direction][flow.version]:
            if row[0] <= remote <= row[1] and row[2] <= local <= row[3]:
                yield row


def _compile(entries: tuple[SpdEntry, ...], direction: Direction) -> dict[int, tuple[_Row, ...]]:
    rows: dict[int, list[_Row]] = {4: [], 6: []}
    outbound = direction is Direction.OUTBOUND
    for entry in entries:
        if not (entry.outbound if outbound else entry.inbound):
            continue
        for local, remote in entry.pairs:
            if local.version != remote.version or (
                local.protocol and remote.protocol and local.protocol != remote.protocol
            ):
                continue  # no packet has two families or two protocols
            here = compile_side(local, sending=outbound)
            there = compile_side(remote, sending=not outbound)
            rows[local.version].append(_row(entry, here, there))
    return {version: tuple(found) for version, found in rows.items()}


def _row(entry: SpdEntry, here: Side, there: Side) -> _Row:
    return _Row(
        there.low,
        there.high,
        here.low,
        here.high,
        here.protocol or there.protocol,
        (there.port_low, there.port_high),
        (here.port_low, here.port_high),
        entry,
    )
