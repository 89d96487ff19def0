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
        little stands in both, ``spare`` at most; a slice by protocol or port, if much would."""
        size = len(left)
        smaller = size * min(0.5, (limits.LEAF / size) ** (1 / depth))
        best: Cut | None = None
        least, shared = inf, 0
        for axis, (first, last) in enumerate(inside):
            firsts = sorted([self._ends[axis][0][number] for number in left])
            lasts = sorted([self._ends[axis][1][number] for number in left])
            if firsts[0] == firsts[-1] and lasts[0] == lasts[-1]:
                continue
            for at in _candidates(firsts, lasts):
                if first < at <= last:
                    below, above = bisect_left(firsts, at), size - bisect_left(lasts, at)
                    twice = below + above - size
                    less, more = (below, above) if below < above else (above, below)
                    cost = max(less / smaller, more / (size - smaller)) * size + 2 * twice
                    if axis < SIDES and below and not twice:
                        cost -= size * (at - lasts[below - 1]) / (last - first)  # what is far from all is told soon
                    if cost < least and more < size and twice <= spare:
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
            far = (last - first) // 4
            if before - first > far:
                return Cut(axis, (first, before - 1))
            if last - behind > far:
                return Cut(axis, (behind + 1, last))
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


def _candidates(firsts: list[int], lasts: list[int]) -> set[int]:
    """Where to cut, perhaps: where flows begin, or others are over; and behind the largest gap."""
    step = max(1, len(firsts) // limits.CUTS)
    gaps = list(map(sub, firsts[1:], lasts))
    return {
        *firsts[step // 2 :: step],
        *(last + 1 for last in lasts[step // 2 :: step]),
        firsts[gaps.index(max(gaps)) + 1],
    }
