"""What is worth knowing of a policy file that has no mistakes: what it defines and never uses, and where filters are
equally specific, so that only their order decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import count

from ipsecd.errors import Mistake
from ipsecd.policy import expand
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.rules import Authentication, Rule
from ipsecd.policy.ties import Place, Work, ties
from ipsecd.wire.selector import Address


def notes(policy_file: PolicyFile) -> tuple[Mistake, ...]:
    """Remarks that stop nothing, in file order."""
    found = [*_assigned(policy_file), *_unused(policy_file), *_keylogs(policy_file)]
    work = Work()
    for policy in policy_file.content.policies:
        found += _ties(policy_file, policy, work)
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


def _ties(policy_file: PolicyFile, policy: str, work: Work) -> Iterator[Mistake]:
    for path, message in ties(places(policy_file, policy), work).items():
        yield policy_file.mistake(path, message)
    if not work.complete:
        message = "so many filters are equally specific and overlap that not all of them were compared"
        yield policy_file.mistake(("policies", policy), message)


def places(policy_file: PolicyFile, policy: str) -> Iterator[Place]:
    """The entries of a policy. What me and DNS names are isn't known here: each gets an address that nothing else has,
    so nothing is claimed of them."""
    numbers, order = count(1), count()
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
            yield Place(next(order), replace(entry, line=policy_file.line(where)), where)
