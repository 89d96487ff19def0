"""Where only the order of the file decides: filters of one rank to which some packet belongs alike.

Most filters of a long policy have nothing in common, and a single axis shows it: an address, a protocol or a port. So
they are parted axis by axis as long as that helps, and what is left is compared along the axis on which the fewest
overlap. A file can be written so that everything overlaps everything: the work is counted, and ends at its bound.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ipsecd import limits
from ipsecd.policy.complaint import quoted
from ipsecd.policy.order import Rank, rank
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.selector import Selector


@dataclass(frozen=True, slots=True)
class Place:
    """An entry, its number in file order, and the path at which its filter is told about."""

    number: int
    entry: Entry
    path: Path


Pair: TypeAlias = tuple[Place, Place]  # in file order
Spans: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Work:
    """Steps that may still be taken: a filter sorted along an axis, or two filters compared."""

    left: int = limits.MAX_TIE_STEPS
    complete: bool = True

    def take(self, steps: int) -> bool:
        """Whether so many steps may be taken; if not, the work isn't complete."""
        if steps > self.left:
            self.complete = False
            return False
        self.left -= steps
        return True


def ties(places: Iterable[Place], work: Work) -> dict[Path, str]:
    """What is said of each filter that an earlier one of its rank covers or overlaps, by path; some are missing if the
    work isn't complete. Me, DNS names and well-known sets have to stand for something that nothing else does."""
    groups: dict[tuple[int, Rank], list[Place]] = {}
    for place in places:
        groups.setdefault((_pairs(place.entry)[0][0].version, rank(place.entry)), []).append(place)
    covered: dict[Path, Pair] = {}
    beaten: dict[Path, Pair] = {}  # where both match
    matching: set[Path] = set()
    for group in groups.values():
        rest, repeats = _repeats(group)
        matching |= {place.path for place in rest}
        for pair in repeats:
            covered.setdefault(pair[1].path, pair)
        for pair in (*repeats, *_overlaps(rest, work)):
            if _compete(pair[0].entry, pair[1].entry):
                path = pair[1].path
                beaten[path] = min(pair, beaten.get(path, pair), key=lambda each: each[0].number)
    never = {path: _never(*pair) for path, pair in covered.items() if path not in matching}
    return {path: _loses(*pair) for path, pair in beaten.items()} | never


def _never(first: Place, second: Place) -> str:
    whose = "" if first.entry.rule == second.entry.rule else f" of rule {quoted(first.entry.rule)}"
    return f"never matches: the filter in line {first.entry.line}{whose} covers the same and comes first"


def _loses(first: Place, _: Place) -> str:
    other = f"the filter in line {first.entry.line} of rule {quoted(first.entry.rule)}"
    return f"is as specific as {other}, which comes first and wins where both match"


def _compete(first: Entry, second: Entry) -> bool:
    """Whether it matters which of the two decides. Two that protect may do so in different tunnels."""
    if first.rule == second.rule or (first.action is second.action and first.action is not Action.PROTECT):
        return False
    return (first.outbound and second.outbound) or (first.inbound and second.inbound)


def _repeats(group: Iterable[Place]) -> tuple[list[Place], list[Pair]]:
    """The places without those that an earlier one covers wholly, and these, each with the one that covers it."""
    rest: list[Place] = []
    repeats: list[Pair] = []
    known: dict[tuple[Selector, Selector], list[Place]] = {}  # few each: they differ in direction or mirroring only
    for place in group:
        pairs = _pairs(place.entry)
        first = next((other for other in known.get(pairs[0], ()) if _covers(other.entry, place.entry)), None)
        if first is not None:
            repeats.append((first, place))
            continue
        rest.append(place)
        for pair in dict.fromkeys(pairs):
            known.setdefault(pair, []).append(place)
    return rest, repeats


def _pairs(entry: Entry) -> tuple[tuple[Selector, Selector], ...]:
    return entry.me or entry.pairs


def _covers(first: Entry, second: Entry) -> bool:
    each_way = first.outbound >= second.outbound and first.inbound >= second.inbound
    return each_way and set(_pairs(second)) <= set(_pairs(first))


# --- what overlaps ------------------------------------------------------------------------------------------------


class _Box(NamedTuple):
    """What a pair of a place's entry covers: the first and last number on each axis."""

    place: Place
    spans: Spans


def _overlaps(places: Sequence[Place], work: Work) -> Iterator[Pair]:
    """The places that have packets in common, two at a time."""
    actions = {place.entry.action for place in places}
    if len({place.entry.rule for place in places}) == 1 or (len(actions) == 1 and Action.PROTECT not in actions):
        return  # none of them compete
    waiting = [[_Box(place, _spans(*pair)) for place in places for pair in _pairs(place.entry)]]
    while waiting:
        boxes = waiting.pop()
        parts = next((found for axis in range(_AXES) if len(found := _parted(boxes, axis, work)) > 1), None)
        if parts is not None:
            waiting += [part for part in parts if len(part) > 1]
            continue
        for one, two in _compared(boxes, work):
            if one.place is not two.place:
                yield (one.place, two.place) if one.place.number < two.place.number else (two.place, one.place)


_AXES = 5


def _spans(local: Selector, remote: Selector) -> Spans:
    """Filters of one rank all name a protocol, or none does."""
    sides = ((int(side.start), int(side.end)) for side in (local, remote))
    return (*sides, local.ports, remote.ports, (local.protocol, local.protocol))


def _parted(boxes: Sequence[_Box], axis: int, work: Work) -> list[list[_Box]]:
    """The boxes in groups that don't touch each other on an axis."""
    if not work.take(len(boxes)):
        return []
    parts: list[list[_Box]] = []
    reached = -1
    for box in sorted(boxes, key=lambda box: box.spans[axis]):
        first, last = box.spans[axis]
        if first > reached:
            parts.append([])
        parts[-1].append(box)
        reached = max(reached, last)
    return parts


def _compared(boxes: Sequence[_Box], work: Work) -> Iterator[tuple[_Box, _Box]]:
    """The boxes that overlap on every axis, two at a time."""
    axis = min(range(_AXES), key=lambda axis: _touching(boxes, axis))
    ordered = sorted(boxes, key=lambda box: box.spans[axis])
    starts = [box.spans[axis][0] for box in ordered]
    for index, box in enumerate(ordered):
        others = ordered[index + 1 : bisect_right(starts, box.spans[axis][1])]
        if not work.take(len(others)):
            return
        yield from ((box, other) for other in others if _meet(box.spans, other.spans))


def _meet(spans: Spans, others: Spans) -> bool:
    for (first, last), (other_first, other_last) in zip(spans, others, strict=True):
        if first > other_last or other_first > last:
            return False
    return True


def _touching(boxes: Sequence[_Box], axis: int) -> int:
    """How many pairs of boxes overlap on an axis."""
    starts = sorted(box.spans[axis][0] for box in boxes)
    return sum(bisect_right(starts, box.spans[axis][1]) for box in boxes) - len(boxes) * (len(boxes) + 1) // 2
