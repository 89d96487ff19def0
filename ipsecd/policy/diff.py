"""The difference of two plans, rule by rule: what a reload has to touch and what it must leave alone.

What a plan doesn't hold, but is told beside it: keys that are other ones, and rules that can or can't be negotiated.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ipsecd import limits
from ipsecd.policy.plan import Plan
from ipsecd.printable import first_of

DEFAULT = "(default action)"  # no rule can be called so
_FOR_ALL_RULES = {  # fields of the plan, and what they are called in a policy file
    "ike_port": "key_exchange.ports.ike",
    "natt_port": "key_exchange.ports.nat_traversal",
    "cookie_threshold": "key_exchange.cookie_threshold",
    "settings": "settings",
    "exempt": "exemptions",
}
_PRECEDENCE = "order of filters"


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """Names of rules, each in the order of the plan it comes from. ``for_all_rules`` is what concerns all of them and
    differs, in the words of a policy file, and ``order of filters`` if entries that both plans have changed places.

    Of what both plans have: ``credentials`` are names of those whose key is another, or is to be had in one plan alone;
    ``usable`` and ``unusable`` are rules that can, or can't, be negotiated from now on."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    for_all_rules: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    usable: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the two plans mean the same."""
        return not self._parts()

    def __str__(self) -> str:
        parts = (
            f"{name.replace('_', ' ')}: {first_of(names, limits.SHOWN_RULES)}" for name, names in self._parts().items()
        )
        return "; ".join(parts) or "no difference"

    def _parts(self) -> dict[str, tuple[str, ...]]:
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "kept"}
        return {name: names for name, names in parts.items() if names}


def diff(old: Plan, new: Plan) -> PlanDiff:
    """What differs between two plans. A rule is kept if its entries, its peer, its children and its credentials are
    the same; its description and its line don't count."""
    before, after = _rules(old), _rules(new)
    for_all = [name for field, name in _FOR_ALL_RULES.items() if getattr(old, field) != getattr(new, field)]
    if _order(old, new) != _order(new, old):
        for_all.append(_PRECEDENCE)
    return PlanDiff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and before[name] != after[name]),
        kept=tuple(name for name in after if name in before and before[name] == after[name]),
        for_all_rules=tuple(for_all),
    )


def _rules(plan: Plan) -> dict[str, object]:
    """All that a rule means, by its name. The default action counts as a rule."""
    entries = {entry.name: entry for entry in plan.entries}
    peers = {peer.name: peer for peer in plan.peers}
    credentials = {credential.name: credential for credential in plan.credentials}
    found: dict[str, object] = {}
    for rule in plan.rules:
        peer = peers.get(rule.peer)
        found[rule.name] = (
            rule.action,
            tuple(entries[name] for name in rule.entries),
            peer
            and replace(peer, name="", children=tuple(child for child in peer.children if child.name in rule.children)),
            tuple(credentials[name] for name in peer.credentials) if peer else (),
        )
    default = tuple(entry for entry in plan.entries if not entry.rule)
    return found | ({DEFAULT: default} if default else {})


def _order(plan: Plan, other: Plan) -> tuple[str, ...]:
    common = {entry.name for entry in other.entries}
    return tuple(entry.name for entry in plan.entries if entry.name in common)
