"""What can't be told apart inside a tunnel: entries of different types of connection that cover the same packets.

The SPD of the roads doesn't see by which interface a packet would have gone (``connections.py``). So where an entry
that holds for one type stands before a protecting one that doesn't, and covers some of the same packets, the SPD would
find the first for a packet that the floor has steered for the second. Such a policy is refused, unless the first is a
permit: that isn't in the SPD, as nothing in the TUN can be what it lets pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ipsecd.policy.boxes import SYMBOLS, Place, Work
from ipsecd.policy.complaint import quoted
from ipsecd.policy.order import precedence
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.selector import Selector


def mixed(places: Iterable[Place]) -> Iterator[tuple[Path, str]]:
    """What is said of each filter that holds for one type of connection and stands so before a protecting one, by
    path. Whatever can't be compared in bounded time counts as if it did."""
    ordered = sorted(places, key=lambda place: precedence(place.entry))
    if not any(place.entry.connections for place in ordered):
        return
    work = Work()
    for index, first in enumerate(ordered):
        if not first.entry.connections or not first.entry.inside_too:
            continue
        others = [
            place
            for place in ordered[index + 1 :]
            if place.entry.action is Action.PROTECT and place.entry.connections != first.entry.connections
        ]
        if not work.take(len(others)):
            yield first.path, "so many filters for one type of connection that they weren't all compared"
            return
        if found := next((other for other in others if _meet(first.entry, other.entry)), None):
            yield first.path, _said(first.entry, found.entry)


def _said(first: Entry, second: Entry) -> str:
    whom = f"the filter in line {second.line} of rule {quoted(second.rule)}"
    kind = f"{first.connections} connections"
    return f"a filter for {kind} alone before {whom}, which protects some of the same traffic on others"


def _meet(one: Entry, other: Entry) -> bool:
    return any(
        local.intersect(other_local) and remote.intersect(other_remote)
        for local, remote in _widened(one)
        for other_local, other_remote in _widened(other)
    )


def _widened(entry: Entry) -> Iterator[tuple[Selector, Selector]]:
    return ((_widen(local), _widen(remote)) for local, remote in entry.me or entry.pairs)


def _widen(selector: Selector) -> Selector:
    """Any address where it stands for one that isn't known here."""
    if selector.start != selector.end or int(selector.start) >= SYMBOLS:
        return selector
    everything = Selector.net("0.0.0.0/0" if selector.version == 4 else "::/0")
    return replace(selector, start=everything.start, end=everything.end)
