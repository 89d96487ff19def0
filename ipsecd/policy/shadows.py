"""Filters that never decide, because those that stand before them cover all they cover; and filters that cross, so that
each decides about a part of what the other covers.

What is left of a filter is reckoned exactly, by cutting away what each earlier one covers. That is only begun where the
earlier ones cover enough to leave nothing, so it is seldom begun in vain; and each cut is counted as work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from math import prod
from typing import Final, TypeAlias

from ipsecd.policy.boxes import Box, Place, Spans, Work, boxes, contains, meet, mirrored, one_way, overlapping
from ipsecd.policy.complaint import quoted
from ipsecd.policy.order import Rank, rank, reason
from ipsecd.policy.paths import Path
from ipsecd.policy.ties import compete, version

_FEW: Final = 3  # filters that a remark names

_Filter: TypeAlias = tuple[Path, int]


@dataclass(frozen=True, slots=True)
class Shadows:
    """What is said of filters, by the path at which it is: ``never`` of those that never match, ``crossed`` of those
    that others cross and come before. Of a list that rules share, some filters may never match, and others do."""

    never: dict[Path, str] = field(default_factory=dict)
    partly: dict[Path, str] = field(default_factory=dict)
    crossed: dict[Path, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Standing:
    """A place in order of precedence: its boxes, each with those of earlier places that overlap it."""

    place: Place
    rank: Rank
    boxes: tuple[Box, ...]
    earlier: dict[Spans, list[Box]] = field(default_factory=dict)
    covered_by: tuple[Place, ...] = ()  # if they cover all of it
    crossing: tuple[Place, ...] = ()  # a few that come first where the outcome is another


def shadows(places: Sequence[Place], work: Work) -> Shadows:
    """What is said of the filters of a policy; some of it is missing if the work isn't complete."""
    found: list[_Standing] = []
    for _, family in groupby(sorted(places, key=_precedence), key=lambda place: version(place.entry)):
        found += _family(family, work)
    told = Shadows()
    filters: dict[_Filter, list[_Standing]] = {}
    for standing in found:
        filters.setdefault((standing.place.path, standing.place.filter), []).append(standing)
    unused = {key: parts for key, parts in filters.items() if all(part.covered_by for part in parts)}
    paths = {path for path, _ in filters.keys() - unused.keys()}
    for (path, number), parts in unused.items():
        message = _never(parts)
        if path not in paths:
            told.never.setdefault(path, message)
        else:
            told.partly.setdefault(path, f"its filter {number} {message}")
    for (path, _), parts in filters.items():
        if crossing := [(part.place, other) for part in parts for other in part.crossing]:
            told.crossed.setdefault(path, _crossed(crossing))
    return told


def _precedence(place: Place) -> tuple[int, bool, Rank, int]:
    """As in ``order.py``, family by family."""
    return version(place.entry), not place.entry.persistent, rank(place.entry), place.number


def _family(places: Iterable[Place], work: Work) -> list[_Standing]:
    """Those of one family, in order of precedence."""
    standing = [_Standing(place, rank(place.entry), boxes(place)) for place in places]
    first: dict[frozenset[Spans], Place] = {}
    for each in standing:
        covers = frozenset(box.spans for box in each.boxes)
        if (same := first.setdefault(covers, each.place)) is not each.place:
            each.covered_by = (same,)
    _overlap([each for each in standing if not each.covered_by], work)
    unused = {id(each.place) for each in standing if each.covered_by}
    for each in standing:
        if not each.covered_by and (by := _covering(each, unused, work)):
            each.covered_by = by
            unused.add(id(each.place))
    known = {id(each.place): each for each in standing if id(each.place) not in unused}
    for each in known.values():
        each.crossing = tuple(islice(_crossing(each, known), _FEW + 1))
    return standing


def _overlap(standing: Sequence[_Standing], work: Work) -> None:
    """Note for each what overlaps it, of what stands before it."""
    order = {id(each.place): number for number, each in enumerate(standing)}
    for one, two in overlapping([box for each in standing for box in each.boxes], work):
        first, second = order[id(one.place)], order[id(two.place)]
        later = standing[max(first, second)]
        before, behind = (one, two) if first < second else (two, one)
        later.earlier.setdefault(behind.spans, []).append(before)


def _crossing(standing: _Standing, known: Mapping[int, _Standing]) -> Iterator[Place]:
    """The places that cross this one and stand before it, in file order."""
    found = {id(box.place): box.place for earlier in standing.earlier.values() for box in earlier}
    others = (known[key] for key in sorted(found, key=lambda key: found[key].number) if key in known)
    return (other.place for other in others if _crosses(other, standing))


def _crosses(first: _Standing, second: _Standing) -> bool:
    """Whether neither holds all of the other, and it matters which of them decides. Those of one rank are ties."""
    one, two = first.place.entry, second.place.entry
    if (first.rank == second.rank and one.persistent == two.persistent) or not compete(one, two):
        return False
    return not _within(first.boxes, second.boxes) and not _within(second.boxes, first.boxes)


def _within(some: Sequence[Box], others: Sequence[Box]) -> bool:
    """Whether some filter lies in another, on whichever side of this machine its addresses are."""
    wider = [spans for other in others for spans in (other.spans, mirrored(other.spans))]
    parts = (part for each in some for part in one_way(each.spans))
    return all(any(contains(spans, part) for spans in wider) for part in parts)


# --- what is left -------------------------------------------------------------------------------------------------


def _covering(standing: _Standing, unused: set[int], work: Work) -> tuple[Place, ...]:
    """The places that together leave nothing of this one, in file order; none if something is left. What covers most is
    tried first, so that few are named."""
    found: dict[int, Place] = {}
    for box in standing.boxes:
        earlier = [other for other in standing.earlier.get(box.spans, ()) if id(other.place) not in unused]
        shared = {id(other): _common(box.spans, other.spans) for other in earlier}
        if sum(shared.values()) < _size(box.spans):
            return ()
        by = _cut_away(box, sorted(earlier, key=lambda other: (-shared[id(other)], other.place.number)), work)
        if not by:
            return ()
        found |= {id(place): place for place in by}
    return tuple(sorted(found.values(), key=lambda place: place.number))


def _cut_away(box: Box, earlier: Sequence[Box], work: Work) -> list[Place]:
    """The places that leave nothing of a box, of those that overlap it; none if something is left."""
    whole = next((other.place for other in earlier if contains(other.spans, box.spans)), None)
    if whole is not None:
        return [whole]
    left, by = [box.spans], []
    for other in earlier:
        if not work.take(len(left)):
            return []
        pieces = [piece for spans in left for piece in _without(spans, other.spans)]
        if pieces != left:
            by.append(other.place)
        left = pieces
        if not left:
            return by
    return []


def _without(spans: Spans, cut: Spans) -> Iterator[Spans]:
    """What a box has outside of another, in boxes that don't overlap."""
    if not meet(spans, cut):
        yield spans
        return
    for axis, ((first, last), (cut_first, cut_last)) in enumerate(zip(spans, cut, strict=True)):
        if first < cut_first:
            yield *spans[:axis], (first, cut_first - 1), *spans[axis + 1 :]
        if cut_last < last:
            yield *spans[:axis], (cut_last + 1, last), *spans[axis + 1 :]
        spans = *spans[:axis], (max(first, cut_first), min(last, cut_last)), *spans[axis + 1 :]


def _size(spans: Spans) -> int:
    return prod(last - first + 1 for first, last in spans)


def _common(spans: Spans, others: Spans) -> int:
    """The size of what two boxes that meet have in common."""
    return prod(
        min(last, other_last) - max(first, other_first) + 1
        for (first, last), (other_first, other_last) in zip(spans, others, strict=True)
    )


# --- in words -----------------------------------------------------------------------------------------------------


def _never(parts: Sequence[_Standing]) -> str:
    covering = {id(place): place for part in parts for place in part.covered_by}
    first = next(iter(covering.values()))
    if len({(place.entry.rule, place.filter) for place in covering.values()}) == 1:
        whose = "" if first.entry.rule == parts[0].place.entry.rule else f" of rule {quoted(first.entry.rule)}"
        return f"never matches: the filter in line {first.entry.line}{whose} covers the same and comes first"
    return f"never matches: the filters {_listed(covering)} cover all of it and come first"


def _crossed(crossing: Sequence[tuple[Place, Place]]) -> str:
    place, first = crossing[0]
    others = {id(other): other for _, other in crossing}
    if len({(other.entry.rule, other.filter) for other in others.values()}) == 1:
        which = f"the filter in line {first.entry.line} of rule {quoted(first.entry.rule)}"
        return f"where both match, {which} decides: {reason(first.entry, place.entry)}"
    return f"where others match too, the filters {_listed(others)} decide, as they come first"


def _listed(places: Mapping[int, Place]) -> str:
    """Which filters these are, the first few by name."""
    filters = list({(each.entry.rule, each.filter): each for each in places.values()}.values())
    lines = (f"in line {each.entry.line} of rule {quoted(each.entry.rule)}" for each in filters[:_FEW])
    named = list(dict.fromkeys(lines))  # several may stand in one
    if len(filters) > _FEW:
        named.append("others")
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
