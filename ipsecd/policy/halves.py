"""The two halves of a tunnel: filters of one direction each, of the same traffic, by the same tunnel.

Windows has a rule for each direction of a tunnel, whose filters aren't mirrored ([MS-GPIPSEC] section 2.2.1.5). SAs
come in pairs, one for each direction (RFC 7296 section 1.3), so two halves are one child, and what they say of how it
is negotiated has to be the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import chain
from typing import Final, NamedTuple

from ipsecd.errors import Mistake
from ipsecd.policy import traffic
from ipsecd.policy.addresses import AddressSet, Kind
from ipsecd.policy.complaint import quoted
from ipsecd.policy.filters import Filter
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.names import ACCESS, AGGRESSIVE
from ipsecd.policy.paths import Path
from ipsecd.policy.rules import Rule

Halves = Mapping[str, bool]
"""Of each filter that has a counterpart, by its name (``to-hq/1`` is the first of rule to-hq): whether it covers what
arrives."""

NONE: Final[Halves] = {}


class _Placed(NamedTuple):
    """A one-way filter, where it stands, and its rule."""

    name: str
    path: Path
    rule: Rule
    each: Filter


def halves(policy_file: PolicyFile, policy: str | None) -> Halves:
    """Those of the persistent rules and of this policy, if one is named."""
    found: dict[str, bool] = {}
    for first, second in _pairs(policy_file, policy):
        arriving = second.each.source.kind is not Kind.ME  # without me, the side of the first one's source is ours
        found[first.name], found[second.name] = not arriving, arriving
    return found


def unequal(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is wrong with halves of which one child can't be made."""
    for policy in (None, *policy_file.content.policies):
        for first, second in _pairs(policy_file, policy):
            one, other = _terms(policy_file, first.rule), _terms(policy_file, second.rule)
            differing = " and ".join(field for field, value in one.items() if other[field] != value)
            if differing and second.path[:1] == (("policies",) if policy else ("persistent",)):
                whose = f"the filter in line {policy_file.line(first.path)} of rule {quoted(first.rule.name)}"
                message = f"this is the way back of {whose}, and one SA pair carries both: {differing} must be the same"
                yield policy_file.mistake(second.path, message, "or one filter that is mirrored says both")


def _pairs(policy_file: PolicyFile, policy: str | None) -> Iterator[tuple[_Placed, _Placed]]:
    """Each filter that turns an earlier one round, behind that one. Of those that are the same both ways a second one
    is the way back only by a tunnel, where nothing else covers that, and if it's negotiated alike: else it's the same
    once more."""
    known: dict[Hashable, _Placed] = {}
    for placed in _one_way(policy_file, policy):
        each, tunnel = placed.each, placed.rule.tunnel
        message = traffic.icmp_number(each.protocol, each.icmp_type) if each.icmp_type is not None else None
        what = tunnel, each.protocol, message, each.icmp_code
        source, destination = (_side(each.source), each.source_port), (_side(each.destination), each.destination_port)
        first = known.get((what, destination, source))
        if first is None:
            known.setdefault((what, source, destination), placed)
        elif source != destination or (
            tunnel is not None and _terms(policy_file, first.rule) == _terms(policy_file, placed.rule)
        ):
            yield first, placed


def _one_way(policy_file: PolicyFile, policy: str | None) -> Iterator[_Placed]:
    rules = chain(policy_file.persistent(), policy_file.rules(policy) if policy else ())
    for path, rule in rules:
        if policy_file.action(rule).action != "negotiate":
            continue
        for number, (place, each) in enumerate(policy_file.filters(path, rule), start=1):
            if not each.mirrored:  # none that is built in
                where = place if place[:1] == path[:1] else (*path, "filter_list")
                yield _Placed(f"{rule.name}/{number}", where, rule, each)


def _side(addresses: AddressSet) -> Hashable:
    return (addresses.first, addresses.last) if addresses.first else addresses


def _terms(policy_file: PolicyFile, rule: Rule) -> dict[str, object]:
    """What a child is negotiated by, and with whom."""
    action = policy_file.action(rule)
    return {
        "identity": rule.identity,
        "authentication": rule.authentication,
        **{name: getattr(rule, name) for name in (*AGGRESSIVE, *ACCESS)},
        "connections": rule.connections,
        "encapsulation": rule.encapsulation,
        "start": rule.start,
        "security_methods": action.security_methods,
        "lifetime": action.lifetime,
        "pfs": action.pfs,
        "df": action.df,
        "dscp": action.dscp,
        "tfc": action.tfc,
        "inactivity": action.inactivity,
        "fallback_to_clear": action.fallback_to_clear,
    }
