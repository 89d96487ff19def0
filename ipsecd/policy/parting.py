"""Where to part boxes in two, so that few are on either side, and fewer on both."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from math import inf
from operator import sub
from typing import NamedTuple

from ipsecd import limits
from ipsecd.policy.extents import SIDES, Box, Span


class Cut(NamedTuple):
    """What has a number in this span on an axis goes to a chain of its own."""

    axis: int
    span: Span


class Parting:
    """Of boxes that are known by their numbers."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._boxes = boxes
        axes = zip(*boxes, strict=True)
        self._ends = [([first for first, _ in spans], [last for _, last in spans]) for spans in axes]

    def parted(self, left: list[int], cut: Cut, inside: Box) -> tuple[list[int], list[int]]:
        """Those that a cut takes a part of, and those that it leaves a part of, of what is inside a box. All are partly
        inside it, and so they are in what comes of it."""
        (first, last), (at, to) = cut.span, inside[cut.axis]
        firsts, lasts = self._ends[cut.axis]
        own = [number for number in left if firsts[number] <= last and lasts[number] >= first]
        below, above = at < first, last < to
        others = [number for number in left if (below and firsts[number] < first) or (above and lasts[number] > last)]
        return own, others

    def cut(self, left: list[int], inside: Box, depth: int, spare: int) -> Cut | None:
        """The one by which the halves are as small as ``depth`` allows, chains that may stand behind each other, and
        little stands in both, ``spare`` at most; a slice by protocol or port, if much would. A cut has to be clearly
        better than those before it, so that it stays where it is when a flow comes or goes."""
        size = len(left)
        smaller = size * min(0.5, (limits.LEAF / size) ** (1 / depth))
        best: Cut | None = None
        least, shared = inf, 0
        for axis, (first, last) in enumerate(inside):
            firsts, lasts = (sorted(map(ends.__getitem__, left)) for ends in self._ends[axis])
            if firsts[0] == firsts[-1] and lasts[0] == lasts[-1]:
                continue
            for at in _candidates(firsts, lasts, smaller):
                if first < at <= last:
                    below, above = bisect_left(firsts, at), size - bisect_left(lasts, at)
                    twice = below + above - size
                    less, more = (below, above) if below < above else (above, below)
                    cost = max(less / smaller, more / (size - smaller)) * size + 2 * twice
                    if axis < SIDES and below and not twice:
                        cost -= size * (at - lasts[below - 1]) / (last - first)  # what is far from all is told soon
                    if cost < least * limits.CLEARLY and more < size and twice <= spare:
                        taken = (first, at - 1) if below < above else (at, last)
                        best, least, shared = Cut(axis, taken), cost, twice
        return best if best and 4 * shared <= size else self._slice(left, inside, spare) or best

    def edge(self, left: list[int], inside: Box) -> Cut | None:
        """What lies far from all of many flows."""
        if len(left) < limits.FEW_FLOWS:
            return None
        for axis, (first, last) in enumerate(inside[:SIDES]):
            firsts, lasts = self._ends[axis]
            before, behind = min(map(firsts.__getitem__, left)), max(map(lasts.__getitem__, left))
            far, room = (last - first) // 4, behind - before + 1
            if before - first > far:
                return Cut(axis, (first, round_number(max(first, before - room), before) - 1))
            if last - behind > far:
                return Cut(axis, (round_number(behind, min(last, behind + room)), last))
        return None

    def _slice(self, left: list[int], inside: Box, spare: int) -> Cut | None:
        """A protocol or port of many: what stands in both is little."""
        best, least = None, len(left)
        for axis in range(SIDES, len(inside)):
            spans = Counter(self._boxes[number][axis] for number in left)
            first, last = inside[axis]
            for (at, to), number in spans.items():
                if 8 * number > len(left) and (at > first or to < last) and first <= at and to <= last:
                    within = sum(times for (start, end), times in spans.items() if at <= start and end <= to)
                    twice = sum(times for (start, end), times in spans.items() if start <= to and end >= at) - within
                    if twice - within < least and twice <= spare:
                        best, least = Cut(axis, (at, to)), twice - within
        return best


def _candidates(firsts: list[int], lasts: list[int], smaller: float) -> dict[int, None]:
    """Where to cut, perhaps: near to where ``smaller`` flows are on one side, at the roundest number there, and in the
    largest gap."""
    size = len(firsts)
    gaps = list(map(sub, firsts[1:], lasts))
    widest = gaps.index(max(gaps))
    found = dict.fromkeys((round_number(lasts[widest], firsts[widest + 1]),))
    for middle in (smaller, size - smaller):
        low, high = int(middle * 0.8), min(int(middle * 1.2) + 1, size - 1)
        found[round_number(firsts[low], firsts[high])] = None
        found[round_number(lasts[low] + 1, lasts[high] + 1)] = None
    return found


def round_number(low: int, high: int) -> int:
    """The one with the most zeros at its end, in base two, of those above ``low`` up to ``high``; ``low`` if there are
    none."""
    return high >> (high ^ low).bit_length() - 1 << (high ^ low).bit_length() - 1 if low < high else low
