"""What is worth knowing of a policy file that has no mistakes: what it defines and never uses, and where filters are
equally specific, so that only their order decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from itertools import combinations, count

from ipsecd.errors import Mistake
from ipsecd.policy import expand
from ipsecd.policy.complaint import quoted
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.nodes import Path
from ipsecd.policy.order import Rank, rank
from ipsecd.policy.plan import Action, Entry
from ipsecd.policy.rules import Authentication, Rule
from ipsecd.wire.selector import Address, Selector


def notes(policy_file: PolicyFile) -> tuple[Mistake, ...]:
    """Remarks that stop nothing, in file order."""
    found = [*_assigned(policy_file), *_unused(policy_file), *_keylogs(policy_file)]
    for policy in policy_file.content.policies:
        found += _ties(policy_file, policy)
    return tuple(sorted(found, key=lambda note: (note.line, note.column)))


def _assigned(policy_file: PolicyFile) -> Iterator[Mistake]:
    if policy_file.content.assigned is None:
        known = ", ".join(policy_file.content.policies)
        hint = f"assigned: one of {known}" if known else ""
        yield policy_file.mistake((), "no policy is assigned: nothing is protected", hint)


def _keylogs(policy_file: PolicyFile) -> Iterator[Mistake]:
    for name, policy in policy_file.content.policies.items():
        if policy.keylog:
            yield policy_file.mistake(
                ("policies", name, "keylog"), "keys are kept for export: whoever gets them reads the traffic"
            )


def _unused(policy_file: PolicyFile) -> Iterator[Mistake]:
    content = policy_file.content
    rules: list[Rule] = [rule for policy in content.policies.values() for rule in policy.rules]
    rules += content.persistent.rules if content.persistent else ()
    methods: list[Authentication] = [method for rule in rules for method in rule.authentication]
    for policy in content.policies.values():
        methods += policy.default_response.authentication if policy.default_response else ()
    used: dict[str, set[str | None]] = {
        "credentials": {method.psk or method.certificate or method.kerberos for method in methods},
        "filter_lists": {rule.filter_list for rule in rules},
        "filter_actions": {rule.action for rule in rules},
    }
    for section, names in used.items():
        for name in getattr(content, section):
            if name not in names:
                path = (section, name)
                yield policy_file.tree.mistake(path, "is never used", mark=policy_file.tree.key(path))


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry and where its filter stands."""

    entry: Entry
    path: Path


def _ties(policy_file: PolicyFile, policy: str) -> Iterator[Mistake]:
    """Entries of one rank that overlap. What me and DNS names are isn't known here: each gets an address that nothing
    else has, so nothing is claimed of them."""
    groups: dict[tuple[int, Rank], list[_Place]] = {}
    for place in _places(policy_file, policy):
        local, remote = place.entry.pairs[0]
        groups.setdefault((local.version, rank(local, remote)), []).append(place)
    told: set[tuple[Path, Path]] = set()
    for group in groups.values():
        for first, second in combinations(group, 2):
            where = (first.path, second.path)
            if where not in told and (message := _tie(first.entry, second.entry)):
                told.add(where)
                yield policy_file.mistake(second.path, message)


def _places(policy_file: PolicyFile, policy: str) -> Iterator[_Place]:
    numbers = count(1)
    known: dict[str, tuple[Address, ...]] = {}

    def resolve(name: str) -> tuple[Address, ...]:
        if name not in known:
            number = next(numbers)
            known[name] = (IPv4Address(number), IPv6Address(number))
        return known[name]

    around = expand.Surroundings(resolve, resolve(""))
    for path, rule in policy_file.rules(policy):
        for place, entry in expand.of_rule(policy_file, path, rule, around):
            where = place if place[:1] == ("policies",) else (*path, "filter_list")  # shared ones are told at their use
            yield _Place(replace(entry, line=policy_file.line(where)), where)


def _tie(first: Entry, second: Entry) -> str:
    same_rule = first.rule == second.rule
    covered = (first.outbound or not second.outbound) and (first.inbound or not second.inbound)
    if covered and set(second.pairs) <= set(first.pairs):
        whose = "" if same_rule else f" of rule {quoted(first.rule)}"
        return f"never matches: the filter in line {first.line}{whose} covers the same and comes first"
    if same_rule or (first.action is second.action and first.action is not Action.PROTECT):
        return ""
    if not (first.outbound and second.outbound) and not (first.inbound and second.inbound):
        return ""
    if any(_overlap(*one, *two) for one in first.pairs for two in second.pairs):
        other = f"the filter in line {first.line} of rule {quoted(first.rule)}"
        return f"is as specific as {other}, which comes first and wins where both match"
    return ""


def _overlap(local: Selector, remote: Selector, other_local: Selector, other_remote: Selector) -> bool:
    return local.intersect(other_local) is not None and remote.intersect(other_remote) is not None
