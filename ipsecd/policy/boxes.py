"""What filters cover as boxes, a span on each axis, and the search for those that overlap.

Most filters of a long policy have nothing in common, and a single axis shows it: an address, a protocol or a port. So
they are parted axis by axis as long as that helps, and what is left is compared along the axis on which the fewest
overlap. A file can be written so that everything overlaps everything: the work is counted, and ends at its bound.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ipsecd import limits
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Entry
from ipsecd.policy.traffic import ICMP, ICMPV6
from ipsecd.wire.selector import ANY_PORT, Selector

Span: TypeAlias = tuple[int, int]  # the first and the last number
Spans: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """An entry, its number in file order, the path at which its filter is told about, and the number of that filter in
    its rule."""

    number: int
    entry: Entry
    path: Path
    filter: int


class Box(NamedTuple):
    """What a pair of a place's entry covers. The axes are direction, local and remote address, protocol, local and
    remote port, or, of ICMP, whose messages have one type, that and anything; and type of connection."""

    place: Place
    spans: Spans


@dataclass(slots=True)
class Work:
    """Steps that may still be taken: a box sorted along an axis, or two of them compared."""

    left: int = limits.MAX_OVERLAP_STEPS
    complete: bool = True

    def take(self, steps: int) -> bool:
        """Whether so many steps may be taken; if not, the work isn't complete."""
        if steps > self.left:
            self.complete = False
            return False
        self.left -= steps
        return True


SYMBOLS: Final = 1 << 16
"""Addresses below stand for me and for DNS names, of which nothing is known but that they are some address: no packet
has one of the first addresses of either family."""

_SOME: Final = 1 << 129  # behind all addresses: where those are that stand for something
_ALL_PORTS: Final = (-1, 65_535)  # with packets that show none
_ALL_PROTOCOLS: Final = (0, 255)
_TYPES: Final = {"": (0, 1), "lan": (0, 0), "remote-access": (1, 1)}


def boxes(place: Place) -> tuple[Box, ...]:
    """What the entry of a place covers, each pair once."""
    entry = place.entry
    directions = (0 if entry.outbound else 1, 1 if entry.inbound else 0)
    pairs = dict.fromkeys(entry.me or entry.pairs)
    return tuple(Box(place, (directions, *_pair(local, remote), _TYPES[entry.connections])) for local, remote in pairs)


def _pair(local: Selector, remote: Selector) -> Spans:
    protocol = (local.protocol, local.protocol) if local.protocol else _ALL_PROTOCOLS
    ports = _ports(local), _ports(remote)
    if local.protocol in (ICMP, ICMPV6):
        ports = ports[1] if ports[0] == _ALL_PORTS else ports[0], _ALL_PORTS
    return _addresses(local), _addresses(remote), protocol, *ports


def _addresses(selector: Selector) -> Span:
    first, last = int(selector.start), int(selector.end)
    if selector.any_address:
        return 0, _SOME + SYMBOLS
    return (_SOME + first, _SOME + first) if first == last < SYMBOLS else (first, last)


def _ports(selector: Selector) -> Span:
    return _ALL_PORTS if selector.ports == ANY_PORT else selector.ports


def meet(spans: Spans, others: Spans) -> bool:
    """Whether two boxes have something in common."""
    for (first, last), (other_first, other_last) in zip(spans, others, strict=True):
        if first > other_last or other_first > last:
            return False
    return True


def mirrored(spans: Spans) -> Spans:
    """The same packets as seen from the other side."""
    (first, last), local, remote, protocol, *ports, types = spans
    swapped = ports if protocol[0] == protocol[1] and protocol[0] in (ICMP, ICMPV6) else reversed(ports)
    return (1 - last, 1 - first), remote, local, protocol, *swapped, types


def as_me(spans: Spans) -> Spans | None:
    """A box of what goes between one address here and others, if that address is me; None if it isn't one alone."""
    directions, (first, last), *rest = spans
    return (directions, (_SOME, _SOME), *rest) if first == last < _SOME else None


def one_way(spans: Spans) -> Iterator[Spans]:
    """A box of one direction, or the two that a box of both is made of."""
    (first, last), *rest = spans
    yield from (((way, way), *rest) for way in range(first, last + 1))


def contains(spans: Spans, others: Spans) -> bool:
    """Whether a box holds all of another."""
    pairs = zip(spans, others, strict=True)
    return all(first <= other_first and other_last <= last for (first, last), (other_first, other_last) in pairs)


def overlapping(found: Sequence[Box], work: Work) -> Iterator[tuple[Box, Box]]:
    """The boxes of different places that have something in common, two at a time, in file order of their places."""
    waiting = [list(found)]
    while waiting:
        some = waiting.pop()
        parts = next((parts for axis in range(_AXES) if len(parts := _parted(some, axis, work)) > 1), None)
        if parts is not None:
            waiting += [part for part in parts if len(part) > 1]
            continue
        wide, rest = _wide(some) if work.take(len(some)) else ([], some)
        if wide and rest:
            waiting.append(rest)
        for one, two in _met(wide, rest, work) if wide and rest else _compared(some, work):
            if one.place is not two.place:
                yield (one, two) if one.place.number < two.place.number else (two, one)


_AXES = 7
_BEFORE_ALL = -2


def _parted(found: Sequence[Box], axis: int, work: Work) -> list[list[Box]]:
    """The boxes in groups that don't touch each other on an axis."""
    if not work.take(len(found)):
        return []
    parts: list[list[Box]] = []
    reached = _BEFORE_ALL
    for box in sorted(found, key=lambda box: box.spans[axis]):
        first, last = box.spans[axis]
        if first > reached:
            parts.append([])
        parts[-1].append(box)
        reached = max(reached, last)
    return parts


def _wide(found: Sequence[Box]) -> tuple[list[Box], list[Box]]:
    """The boxes that hold the others together, as they touch more than half of them on each axis; and the others."""
    starts = [sorted(box.spans[axis][0] for box in found) for axis in range(_AXES)]
    ends = [sorted(box.spans[axis][1] for box in found) for axis in range(_AXES)]
    wide: list[Box] = []
    rest: list[Box] = []
    for box in found:
        touched = (
            bisect_right(starts[axis], last) - bisect_left(ends[axis], first)
            for axis, (first, last) in enumerate(box.spans)
        )
        (wide if all(2 * count > len(found) for count in touched) else rest).append(box)
    return wide, rest


def _met(wide: Sequence[Box], rest: Sequence[Box], work: Work) -> Iterator[tuple[Box, Box]]:
    """Wide boxes that overlap others, and each other."""
    for index, box in enumerate(wide):
        others = [*wide[index + 1 :], *rest]
        if not work.take(len(others)):
            return
        yield from ((box, other) for other in others if meet(box.spans, other.spans))


def _compared(found: Sequence[Box], work: Work) -> Iterator[tuple[Box, Box]]:
    """The boxes that overlap on every axis, two at a time."""
    axis = min(range(_AXES), key=lambda axis: _touching(found, axis))
    ordered = sorted(found, key=lambda box: box.spans[axis])
    starts = [box.spans[axis][0] for box in ordered]
    for index, box in enumerate(ordered):
        others = ordered[index + 1 : bisect_right(starts, box.spans[axis][1])]
        if not work.take(len(others)):
            return
        yield from ((box, other) for other in others if meet(box.spans, other.spans))


def _touching(found: Sequence[Box], axis: int) -> int:
    """How many pairs of boxes overlap on an axis."""
    starts = sorted(box.spans[axis][0] for box in found)
    return sum(bisect_right(starts, box.spans[axis][1]) for box in found) - len(found) * (len(found) + 1) // 2
