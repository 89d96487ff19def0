"""Which of many boxes hold a point, without looking at each of them.

Every axis is cut where a box begins or ends, and of each piece is known which boxes cover it, as the bits of a number.
So a look-up is one binary search per axis, and the boxes that hold the point are the bits that all of them share
(Lakshman and Stiliadis, SIGCOMM 1998). As a piece has a bit for each box, boxes are taken in blocks: the memory grows
with their number, and not with its square.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from ipsecd import limits

Span = tuple[int, int]  # first and last number, inclusive
Box = tuple[Span, ...]  # one span for each axis


class _Axis:
    """The spans of boxes on one axis."""

    __slots__ = ("_covering", "_cuts")

    def __init__(self, spans: Sequence[Span]) -> None:
        turns: dict[int, int] = {}  # bits of the boxes that begin at a number, or have ended before it
        for index, (first, last) in enumerate(spans):
            turns[first] = turns.get(first, 0) ^ (1 << index)
            turns[last + 1] = turns.get(last + 1, 0) ^ (1 << index)
        self._cuts = sorted(turns)
        self._covering = [0, *accumulate((turns[cut] for cut in self._cuts), int.__xor__)]

    def covering(self, number: int) -> int:
        return self._covering[bisect_right(self._cuts, number)]


class Boxes:
    """Boxes in an order, known by their places in it; all have the same axes."""

    __slots__ = ("_blocks",)

    def __init__(self, boxes: Sequence[Box]) -> None:
        starts = range(0, len(boxes), limits.BOXES_IN_A_BLOCK)
        blocks = (boxes[start : start + limits.BOXES_IN_A_BLOCK] for start in starts)
        self._blocks = [
            (start, tuple(_Axis(spans) for spans in zip(*block, strict=True)))
            for start, block in zip(starts, blocks, strict=True)
        ]

    def holding(self, point: Sequence[int]) -> Iterator[int]:
        """The places of the boxes that hold a point, in their order. A point that has fewer numbers than there are axes
        is held to the first axes alone."""
        for start, axes in self._blocks:
            bits = -1
            for axis, number in zip(axes, point, strict=False):
                bits &= axis.covering(number)
            while bits:
                lowest = bits & -bits
                yield start + lowest.bit_length() - 1
                bits ^= lowest
