"""What the children of a policy are known by to the negotiation and the data plane, whatever the policy calls them.

A child keeps its identifier as long as it is the same traffic with the same peer: its SAs and the packets that wait for
it stay its own while its rule is renamed, its filters change places, or another policy takes the place of this one. A
child that has changed keeps it too, as long as it has its name and its peer. No identifier is ever given twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

from ipsecd.policy.plan import Child, Peer, Plan

Ids = Mapping[str, str]
"""Identifiers of children by name."""


class _Known(NamedTuple):
    """A child with its peer."""

    peer: Peer
    child: Child

    @property
    def ends(self) -> Hashable:
        return self.peer.local_id, self.peer.remote_id, self.peer.responds

    @property
    def traffic(self) -> Hashable:
        return self.ends, self.child.local, self.child.remote


_SAME: tuple[Callable[[_Known], Hashable], ...] = (  # what makes a child the same, the closest first
    lambda known: (known.child.name, known.traffic, known.child.proposals),
    lambda known: (known.traffic, known.child.proposals),
    lambda known: known.traffic,
    lambda known: (known.child.name, known.ends),
)


class Identifiers:
    """Gives them out, for as long as the data plane may remember one."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def of(self, plan: Plan, before: Plan | None = None, given: Ids | None = None) -> dict[str, str]:
        """Those of the children of ``plan``. ``given`` are those of the plan before it."""
        found: dict[str, str] = {}
        new, old = list(_children(plan)), list(_children(before or Plan()))
        for likeness in _SAME:
            candidates: dict[Hashable, list[_Known]] = {}
            for each in old:
                candidates.setdefault(likeness(each), []).append(each)
            for each in [each for each in new if each.child.name not in found]:
                if given and (alike := candidates.get(likeness(each))):
                    found[each.child.name] = given[alike.pop(0).child.name]
            taken = set(found.values())
            old = [each for each in old if given and given[each.child.name] not in taken]
        return {each.child.name: found.get(each.child.name) or str(next(self._numbers)) for each in new}


def _children(plan: Plan) -> Iterable[_Known]:
    return [_Known(peer, child) for peer in plan.peers for child in peer.children]
