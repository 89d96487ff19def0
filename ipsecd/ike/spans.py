"""Which of many ranges of addresses hold one: asked of a tree, as a policy may have thousands of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ipsecd.wire.selector import Address, Selector


class _Span(NamedTuple):
    first: int
    last: int
    place: int


class Spans:
    """The ranges of a sequence of selectors each, known by their places in it."""

    def __init__(self, sides: Iterable[tuple[Selector, ...]]) -> None:
        found: dict[int, set[_Span]] = {4: set(), 6: set()}
        for place, selectors in enumerate(sides):
            for each in selectors:
                found[each.version].add(_Span(int(each.start), int(each.end), place))
        self._trees = {version: _Tree(sorted(spans)) for version, spans in found.items()}

    def holding(self, address: Address) -> list[int]:
        """The places of those that hold the address, in order."""
        return sorted(set(self._trees[address.version].holding(int(address))))


class _Tree:
    """Spans in the order of their beginnings; the root of each part of them is its middle, which knows how far the part
    reaches."""

    def __init__(self, spans: list[_Span]) -> None:
        self._spans = spans
        self._reach = [-1] * len(spans)
        self._measure(0, len(spans))

    def _measure(self, begin: int, end: int) -> int:
        if begin == end:
            return -1
        root = (begin + end) // 2
        below = self._measure(begin, root), self._measure(root + 1, end)
        self._reach[root] = max(self._spans[root].last, *below)
        return self._reach[root]

    def holding(self, number: int) -> Iterator[int]:
        """The places of the spans that hold this number."""
        parts = [(0, len(self._spans))]
        while parts:
            begin, end = parts.pop()
            root = (begin + end) // 2
            if begin == end or self._reach[root] < number:
                continue
            first, last, place = self._spans[root]
            parts.append((begin, root))
            if first <= number:
                parts.append((root + 1, end))
                if number <= last:
                    yield place
