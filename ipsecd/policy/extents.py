"""What flows cover, as boxes; which of them matter, and in which turns they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ipsecd import limits
from ipsecd.policy.constant_sets import WITH_TYPES
from ipsecd.policy.flow import Flow
from ipsecd.wire.selector import ANY_PORT, OPAQUE

Span = tuple[int, int]  # first and last number, inclusive
Box = tuple[Span, ...]  # of source and destination address, protocol, and two ports; one ICMP message's type and code

SIDES = 2  # axes of addresses, the first ones
_ADDRESSES = {4: (0, 0xFFFF_FFFF), 6: (0, (1 << 128) - 1)}
_ANY_PROTOCOL = (0, 255)


def whole(version: int, axes: int) -> Box:
    """All packets of an IP version, along so many axes."""
    return (*[_ADDRESSES[version]] * SIDES, _ANY_PROTOCOL, ANY_PORT, ANY_PORT)[:axes]


def box_of(flow: Flow) -> Box:
    """What a flow covers at most. A side that is this machine may be any address."""
    source, destination = flow.source, flow.destination
    addresses = (
        _ADDRESSES[side.version] if name == flow.me else (int(side.start), int(side.end))
        for name, side in (("saddr", source), ("daddr", destination))
    )
    protocol = flow.protocol
    one, two = (flow.types, ANY_PORT) if protocol in WITH_TYPES else (source.ports, destination.ports)
    ports = (ANY_PORT if span == OPAQUE else span for span in (one, two))
    return (*addresses, (protocol, protocol) if protocol else _ANY_PROTOCOL, *ports)


def around(one: Box, two: Box) -> Box:
    """The smallest box that holds both."""
    return tuple(
        [(a if a < c else c, b if b > d else d) for (a, b), (c, d) in zip(one, two, strict=True)]  # noqa: FURB136  quick
    )


def meet(one: Box, two: Box) -> bool:
    """Whether they have anything in common."""
    for (a, b), (c, d) in zip(one, two, strict=True):  # noqa: SIM110  quick
        if a > d or c > b:
            return False
    return True


def needed(flows: Sequence[Flow], boxes: Sequence[Box]) -> list[int]:
    """Without flows that let go what is let go in any case, as no other behind them covers any of it."""
    if all(flow.verdict != "return" for flow in flows):
        return list(range(len(flows)))
    left: list[int] = []
    kinds: dict[tuple[int, ...], _Kind] = {}  # of those that say something else
    for number in range(len(flows) - 1, -1, -1):
        box = boxes[number]
        if flows[number].verdict != "return":
            kinds.setdefault(_kind(box), _Kind(number, box)).add(number, box)
            left.append(number)
        elif any(meet(box, kind.around) for kind in kinds.values()):
            left.append(number)
    left.reverse()
    return left


@lru_cache(maxsize=limits.FLOOR_WORDS)
def _kind(box: Box) -> tuple[int, ...]:
    """How many addresses it has on either side, and of which protocol it is."""
    return (*((last - first).bit_length() for first, last in box[:SIDES]), *(box[SIDES] if len(box) > SIDES else ()))


class _Kind:
    """Flows that have as many addresses on either side."""

    def __init__(self, first: int, box: Box) -> None:
        self.first = self.last = first
        self.count, self.around = 0, box

    def add(self, place: int, box: Box) -> None:
        self.last = place
        self.count += 1
        self.around = around(self.around, box)


def turns(boxes: Sequence[Box]) -> list[int]:
    """Where to part flows so that those of the second part are asked behind all of the first: where many narrow on one
    side would be cut by many narrow on the other."""
    kinds: dict[tuple[int, ...], _Kind] = {}
    for place, box in enumerate(boxes):
        kinds.setdefault(_kind(box), _Kind(place, box)).add(place, box)
    crossing = [
        (min(one.last, two.last), max(one.first, two.first), one.count * two.count)
        for (source, destination, *_), one in kinds.items()
        for (other_source, other_destination, *_), two in kinds.items()
        if source < other_source and destination > other_destination and meet(one.around, two.around)
    ]
    found: list[int] = []
    while len(found) < limits.TURNS - 1:
        worth = {
            cut: sum(weight for last, first, weight in crossing if last < cut <= first)
            for cut in {first for last, first, _ in crossing if last < first}
        }
        best = max(worth, key=lambda cut: (worth[cut], cut), default=0)
        if not best or worth[best] < len(boxes):
            break
        found.append(best)
        crossing = [each for each in crossing if not each[0] < best <= each[1]]
    return sorted(found)
