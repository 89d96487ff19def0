"""Whether a policy fits: what rules ask of one SA, and the number of filters."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ipsecd import limits
from ipsecd.errors import Mistake
from ipsecd.policy import expand
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Path
from ipsecd.wire.selector import Selector

# What holds wherever the policy is used: a machine has an address, and DNS names may have none.
_ANYWHERE: Final = expand.Surroundings(lambda _: (), (IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")))


def sides(pairs: expand.Pairs) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    """The local and the remote selectors of an SA that carries these pairs, without repeats."""
    return tuple(dict.fromkeys(local for local, _ in pairs)), tuple(dict.fromkeys(remote for _, remote in pairs))


def overfull(policy_file: PolicyFile, path: Path, pairs: expand.Pairs) -> Mistake | None:
    """What is wrong with an SA of the rule at this path that carries these pairs: a TS payload holds only so many
    selectors (RFC 7296 section 3.13)."""
    most = max(map(len, sides(pairs)))
    if most <= limits.MAX_SELECTORS:
        return None
    message = f"{most} selectors; one SA holds {limits.MAX_SELECTORS}"
    return policy_file.mistake(path, message, "make it several rules")


def unfit(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is too large: all filters together, or the selectors that a rule needs on every machine."""
    rules = list(policy_file.persistent())
    for policy in policy_file.content.policies:
        rules += policy_file.rules(policy)
    filters = sum(policy_file.size(rule) for _, rule in rules)
    if filters > limits.MAX_FILTERS:
        hint = "those of a filter list count for each rule that uses it"
        yield policy_file.mistake(("policies",), f"{filters} filters; {limits.MAX_FILTERS} are allowed", hint)
        return
    for path, rule in rules:
        if rule.children == "merged" and policy_file.action(rule).action == "negotiate":
            entries = expand.of_rule(policy_file, path, rule, _ANYWHERE)
            pairs = tuple(pair for _, entry in entries for pair in entry.pairs)
            if mistake := overfull(policy_file, path, pairs):
                yield mistake
