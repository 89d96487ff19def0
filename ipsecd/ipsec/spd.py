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
from ipsecd.ipsec.selectors import Flow, Side, compile_side
from ipsecd.wire.selector import Selector


class Direction(Enum):
    """The way a packet goes, seen from us."""

    OUTBOUND = "out"
    INBOUND = "in"


PROTECT, BYPASS, DISCARD = ACTIONS = ("protect", "bypass", "discard")


@dataclass(frozen=True, slots=True)
class SpdEntry:
    """One entry of the SPD, in order of precedence (RFC 4301 section 4.4.1). ``action`` is protect, bypass or discard;
    ``child`` names the child that protects it. A packet belongs to the first entry one of whose pairs holds it:
    going out, ``local`` matches its source and ``remote`` its destination; coming in, the other way round."""

    name: str
    rule: str
    action: str
    pairs: tuple[tuple[Selector, Selector], ...]  # (local, remote)
    child: str = ""
    outbound: bool = True  # applies to packets going out
    inbound: bool = True  # applies to packets coming in


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

    def explain(self, flow: Flow, direction: Direction) -> Explanation:
        """Who decides about a packet of this flow, and who would after them."""
        found = list(dict.fromkeys(self._matches(flow, direction)))
        return Explanation(found[0] if found else None, tuple(found[1:]))

    def _matches(self, flow: Flow, direction: Direction) -> Iterator[SpdEntry]:
        if direction is Direction.OUTBOUND:
            version, local, remote, protocol, local_port, remote_port = flow
        else:
            version, remote, local, protocol, remote_port, local_port = flow
        for row in self._rows[direction][version]:
            if (
                row[0] <= remote <= row[1]
                and row[2] <= local <= row[3]
                and row[4] in (0, protocol)
                and row[5][0] <= remote_port <= row[5][1]
                and row[6][0] <= local_port <= row[6][1]
            ):
                yield row[7]


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
