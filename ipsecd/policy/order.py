"""Precedence: from the most to the least specific entry, decided by what an entry covers and by nothing else.

1. The fewer pairs of addresses (sources times destinations), the earlier. It doesn't matter on which side a filter is
   narrow, so that it and its mirror image rank alike.
2. Then a named protocol stands before any.
3. Then the fewer pairs of ports, or ICMP messages, the earlier.
4. Then one direction stands before both.
5. Then the order of the file: of rules, and of filters in a rule.

A filter that lies wholly inside another, and covers less, therefore always stands before it. Me, DNS names and
well-known sets count as one address each, so between one of them and an address it stands for, the file decides. The
action has no say: a block isn't stronger than a permit.

Entries of persistent rules stand before all others, however specific these are. What hosts have negotiated by the
default response stands behind all rules, and the default action at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ipsecd.policy.plan import DEFAULT_RESPONSE, Entry
from ipsecd.policy.traffic import ICMP, ICMPV6
from ipsecd.wire.selector import Selector

Rank: TypeAlias = tuple[int, int, int, int]


def rank(entry: Entry) -> Rank:
    """How specific an entry is; smaller is more. All its pairs are equally so. Only ranks of one family say anything
    about each other."""
    local, remote = (entry.me or entry.pairs)[0]
    ports = _ports(local), _ports(remote)
    # a message of ICMP has one type, which stands on the side of each possible sender
    messages = min(ports) if local.protocol in (ICMP, ICMPV6) else ports[0] * ports[1]
    directions = entry.outbound + entry.inbound
    return _addresses(local) * _addresses(remote), 0 if local.protocol else 1, messages, directions


def precedence(entry: Entry) -> tuple[bool, Rank]:
    """What entries are sorted by, which leaves those of one rank in the order of the file."""
    return not entry.persistent, rank(entry)


def by_precedence(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries, given in file order, in order of precedence."""
    return tuple(sorted(entries, key=precedence))


_REASONS = ("fewer addresses", "a named protocol before any", "fewer ports", "one direction before both")


def reason(first: Entry, second: Entry) -> str:
    """Why the first of two entries of one family stands before the second, in words."""
    if not second.rule:
        return "the default action comes last"
    if second.rule == DEFAULT_RESPONSE:
        return "every rule goes before the default response"
    if first.persistent and not second.persistent:
        return "persistent rules come first"
    differing = (at for at, (one, other) in enumerate(zip(rank(first), rank(second), strict=True)) if one != other)
    at = next(differing, None)
    if at is None:
        return "earlier in the file"
    by_message = (first.me or first.pairs)[0][0].protocol in (ICMP, ICMPV6)
    return "fewer ICMP messages" if _REASONS[at] == "fewer ports" and by_message else _REASONS[at]


def _addresses(selector: Selector) -> int:
    return int(selector.end) - int(selector.start) + 1


def _ports(selector: Selector) -> int:
    first, last = selector.ports
    return last - first + 1
