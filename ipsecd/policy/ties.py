"""Where only the order of the file decides: filters of one rank to which some packet belongs alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from ipsecd.policy.boxes import Place, Work, as_me, boxes, meet, overlapping
from ipsecd.policy.complaint import quoted
from ipsecd.policy.order import Rank, rank
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.selector import Address, Selector

Pair: TypeAlias = tuple[Place, Place]  # in file order


def ties(places: Iterable[Place], work: Work) -> dict[Path, str]:
    """What is said of each filter that an earlier one of its rank overlaps, or does if an address is this machine's, by
    path; some are missing if the work isn't complete."""
    groups: dict[tuple[int, Rank], list[Place]] = {}
    for place in places:
        groups.setdefault((version(place.entry), rank(place.entry)), []).append(place)
    beaten: dict[Path, Pair] = {}
    ours: dict[Path, tuple[Place, Address]] = {}
    for group in groups.values():
        rest, repeats = _repeats(group)
        for pair in (*repeats, *_overlaps(rest, work)):
            if compete(pair[0].entry, pair[1].entry):
                path = pair[1].path
                beaten[path] = min(pair, beaten.get(path, pair), key=lambda each: each[0].number)
        for first, second, address in _against_me(rest, work):
            if second.path not in ours or first.number < ours[second.path][0].number:
                ours[second.path] = first, address
    told = {path: f"{_loses(first)}, if {address} is this machine's" for path, (first, address) in ours.items()}
    return told | {path: _loses(first) for path, (first, _) in beaten.items()}


def _loses(first: Place) -> str:
    other = f"the filter in line {first.entry.line} of rule {quoted(first.entry.rule)}"
    return f"is as specific as {other}, which comes first and wins where both match"


def compete(first: Entry, second: Entry) -> bool:
    """Whether it matters which of the two decides. Two that protect may do so in different tunnels."""
    if first.rule == second.rule or (first.action is second.action and first.action is not Action.PROTECT):
        return False
    return (first.outbound and second.outbound) or (first.inbound and second.inbound)


def version(entry: Entry) -> int:
    """4 or 6: all its pairs are of one family."""
    return (entry.me or entry.pairs)[0][0].version


def _repeats(group: Iterable[Place]) -> tuple[list[Place], list[Pair]]:
    """The places without those that an earlier one covers wholly, and these, each with the one that covers it."""
    rest: list[Place] = []
    repeats: list[Pair] = []
    known: dict[tuple[Selector, Selector], list[Place]] = {}  # few each: they differ in direction or mirroring only
    for place in group:
        pairs = place.entry.me or place.entry.pairs
        first = next((other for other in known.get(pairs[0], ()) if _covers(other.entry, place.entry)), None)
        if first is not None:
            repeats.append((first, place))
            continue
        rest.append(place)
        for pair in dict.fromkeys(pairs):
            known.setdefault(pair, []).append(place)
    return rest, repeats


def _covers(first: Entry, second: Entry) -> bool:
    each_way = first.outbound >= second.outbound and first.inbound >= second.inbound
    each_type = first.connections in ("", second.connections)
    return each_way and each_type and set(second.me or second.pairs) <= set(first.me or first.pairs)


def _overlaps(places: Sequence[Place], work: Work) -> Iterator[Pair]:
    """The places that have packets in common, two at a time."""
    actions = {place.entry.action for place in places}
    if len({place.entry.rule for place in places}) == 1 or (len(actions) == 1 and Action.PROTECT not in actions):
        return  # none of them compete
    for one, two in overlapping([box for place in places for box in boxes(place)], work):
        yield one.place, two.place


def _against_me(places: Sequence[Place], work: Work) -> Iterator[tuple[Place, Place, Address]]:
    """Filters with me, and those of one address here that would have packets in common with them if it is me; in file
    order, with the address."""
    mine = [box for place in places if place.entry.me for box in boxes(place)]
    named = [
        (place, local.start, spans)
        for place in places
        if mine and not place.entry.me
        for box, (local, _) in zip(boxes(place), dict.fromkeys(place.entry.pairs), strict=True)
        if (spans := as_me(box.spans)) is not None
    ]
    for box in mine:
        if not work.take(len(named)):
            return
        for place, address, spans in named:
            if meet(box.spans, spans) and compete(box.place.entry, place.entry):
                first, second = sorted((box.place, place), key=lambda each: each.number)
                yield first, second, address
