"""The security policy database (RFC 4301 section 4.4.1): an ordered list, the first entry that holds a packet wins.

Both directions ask the same compiled rows, by an index (``boxes.py``); answers are remembered per flow. A new policy is
a new ``Spd``, so what was remembered for the old generation goes with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from ipsecd import limits
from ipsecd.errors import LocalError
from ipsecd.ipsec.boxes import Box, Boxes
from ipsecd.ipsec.selectors import UNSEEN, Flow, Side, compile_side
from ipsecd.ipsec.tunnel import AS_INNER, OuterHeader
from ipsecd.wire.hostpair import pair_id
from ipsecd.wire.selector import Address, Selector


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
    and ``remote`` its destination; coming in, the other way round. ``each``: every pair of hosts has a child of its
    own, made after ``child`` (``wire/hostpair.py``); a lookup gives the entry of the packet's two hosts."""

    name: str
    rule: str
    action: str
    pairs: tuple[tuple[Selector, Selector], ...]  # (local, remote)
    child: str = ""
    outbound: bool = True  # applies to packets going out
    inbound: bool = True  # applies to packets coming in
    header: OuterHeader = AS_INNER
    each: bool = False

    def between(self, local: Address, remote: Address) -> SpdEntry:
        """The entry for two hosts."""
        return replace(self, child=pair_id(self.child, local, remote), each=False)


class _Row(NamedTuple):
    """One pair of an entry, and what it holds: remote and local address, protocol, remote and local port."""

    box: Box
    entry: SpdEntry


class _Rows:
    """The rows of one direction and family, in order of precedence."""

    def __init__(self, rows: list[_Row]) -> None:
        self._rows = rows
        self._boxes = Boxes([row.box for row in rows])

    def holding(self, *point: int) -> Iterator[_Row]:
        """Those that hold a packet, of which as much is said as counts."""
        rows = self._rows
        return (rows[place] for place in self._boxes.holding(point))


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
        one_way = (entry for entry in entries if entry.action == PROTECT and entry.outbound and not entry.inbound)
        self._back = _compile(tuple(replace(entry, inbound=True) for entry in one_way), Direction.INBOUND)
        self._cache: dict[Direction, OrderedDict[Flow, SpdEntry | None]] = {
            direction: OrderedDict() for direction in Direction
        }

    def lookup(self, flow: Flow, direction: Direction) -> SpdEntry | None:
        """The entry that decides about a packet of this flow; None: none does, and the packet is to be discarded."""
        cache = self._cache[direction]
        try:
            return cache[flow]
        except KeyError:
            entry = next(_matches(self._rows[direction], flow, direction), None)
        if entry is not None:
            entry = _between(entry, flow, direction)
        if len(cache) >= limits.MAX_FLOWS:
            cache.popitem(last=False)
        cache[flow] = entry
        return entry

    def received(self, flow: Flow, child: str) -> SpdEntry | None:
        """The entry that decides about a packet which has come inside an SA of this child. An entry of the way out
        alone leaves the way back to others, but what comes back by its SA may: that this is within the selectors of the
        SA is all that RFC 4301 section 5.2 asks. So it does unless another entry protects or discards it."""
        entry = self.lookup(flow, Direction.INBOUND)
        if entry is not None and entry.action != BYPASS:
            return entry
        back = (_between(each, flow, Direction.INBOUND) for each in _matches(self._back, flow, Direction.INBOUND))
        return next((each for each in back if each.child == child), entry)

    def ports_decide(self, flow: Flow, direction: Direction) -> bool:
        """Whether it may depend on ports which entry decides about a packet of this flow; those in ``flow`` don't
        count. ``protocol`` UNSEEN: nor is the protocol known, and it may decide too (RFC 4301 section 7)."""
        version, source, destination, protocol, _, _ = flow
        ends = (destination, source) if direction is Direction.OUTBOUND else (source, destination)
        for row in self._rows[direction][version].holding(*ends):
            _, _, wanted, *ports = row.box
            if wanted not in (_ANY_PROTOCOL, (protocol, protocol)) and protocol != UNSEEN:
                continue
            return (wanted != _ANY_PROTOCOL and protocol == UNSEEN) or not all(
                first <= UNSEEN <= last for first, last in ports
            )
        return False


def _matches(rows: dict[int, _Rows], flow: Flow, direction: Direction) -> Iterator[SpdEntry]:
    version, source, destination, protocol, source_port, destination_port = flow
    if direction is Direction.OUTBOUND:
        found = rows[version].holding(destination, source, protocol, destination_port, source_port)
    else:
        found = rows[version].holding(source, destination, protocol, source_port, destination_port)
    return (row.entry for row in found)


def _between(entry: SpdEntry, flow: Flow, direction: Direction) -> SpdEntry:
    """The entry of the two hosts of a packet, if each pair has one of its own."""
    if not entry.each:
        return entry
    source, destination = flow.addresses()
    return entry.between(source, destination) if direction is Direction.OUTBOUND else entry.between(destination, source)


_ANY_PROTOCOL = (UNSEEN, 255)


def _compile(entries: tuple[SpdEntry, ...], direction: Direction) -> dict[int, _Rows]:
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
            rows[local.version].append(_Row(_box(here, there), entry))
    return {version: _Rows(found) for version, found in rows.items()}


def _box(here: Side, there: Side) -> Box:
    protocol = here.protocol or there.protocol
    return (
        (there.low, there.high),
        (here.low, here.high),
        (protocol, protocol) if protocol else _ANY_PROTOCOL,
        (there.port_low, there.port_high),
        (here.port_low, here.port_high),
    )
