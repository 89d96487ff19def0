"""What is known of flows, and of the trees that were made of them: a change of a policy costs hardly more than what it
changes. Nothing depends on what is remembered but the time that it takes.

Flows that are equal have one number here, so that a tree can be found again by the numbers of its flows. They are
recognized by the identities of their selectors, which are good for as long as those are held: so all is forgotten at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from ipsecd import limits
from ipsecd.policy.extents import Box, box_of
from ipsecd.policy.flow import Flow
from ipsecd.wire.selector import Selector

Pairs = tuple[tuple[Selector, Selector], ...]


class Known(NamedTuple):
    """A flow, the box that it covers at most, and its number."""

    flow: Flow
    box: Box
    number: int


class Memory:
    """``trees`` has the rules of parts of trees by all they follow from, ``branches`` chains by names that follow from
    their rules."""

    def __init__(self) -> None:
        self.trees: dict[tuple[Any, ...], list[str]] = {}
        self.branches: dict[str, list[str]] = {}
        self._numbers = count()
        self._flows: dict[tuple[Any, ...], Known] = {}
        self._pairs: dict[Pairs, Pairs] = {}
        self._selectors: dict[Selector, Selector] = {}

    def begin(self) -> None:
        """Forget everything, if it is much."""
        if max(len(self.trees), len(self._flows)) > limits.REMEMBERED_PARTS:
            for each in (self.trees, self.branches, self._flows, self._pairs, self._selectors):
                each.clear()

    def pairs(self, pairs: Pairs) -> Pairs:
        """The ones that are equal and were seen first."""
        return self._pairs.setdefault(pairs, pairs)

    def selector(self, selector: Selector) -> Selector:
        """The one that is equal and was seen first."""
        return self._selectors.setdefault(selector, selector)

    def flows(self, flows: Sequence[Flow]) -> list[Known]:
        """Those that are equal and were seen first; quickly where their selectors are those that were seen first."""
        known, found = self._flows, []
        for flow in flows:
            key = (
                id(flow.source),
                id(flow.destination),
                flow.verdict,
                flow.me,
                flow.by,
                flow.far,
                flow.action,
                flow.while_clear,
            )
            each = known.get(key)
            if each is None:
                each = known[key] = Known(flow, box_of(flow), next(self._numbers))
            found.append(each)
        return found


MEMORY = Memory()
