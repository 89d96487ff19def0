"""A policy file that has been read and found right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from ipsecd.errors import Mistake
from ipsecd.policy import builtin
from ipsecd.policy.actions import FilterAction
from ipsecd.policy.addresses import Kind
from ipsecd.policy.filters import Filter
from ipsecd.policy.nodes import Tree
from ipsecd.policy.paths import Path
from ipsecd.policy.rules import Rule
from ipsecd.policy.schema import File, Policy


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The schema's objects, and the places of everything in the text."""

    file: str
    content: File
    tree: Tree = field(repr=False, compare=False)

    @property
    def assigned(self) -> Policy | None:
        """The policy in force, or None."""
        return self.content.policies[self.content.assigned] if self.content.assigned else None

    def assigning(self, policy: str | None) -> PolicyFile:
        """The same file, as if it assigned this one of its policies, or none."""
        return replace(self, content=self.content.model_copy(update={"assigned": policy}))

    def rules(self, policy: str) -> Iterator[tuple[Path, Rule]]:
        """The rules of this policy that are enabled, each with its path."""
        for index, rule in enumerate(self.content.policies[policy].rules):
            if rule.enabled:
                yield ("policies", policy, "rules", index), rule

    def persistent(self) -> Iterator[tuple[Path, Rule]]:
        """The persistent rules that are enabled, each with its path, by names that no rule of a policy can have."""
        rules = self.content.persistent.rules if self.content.persistent else ()
        for index, rule in enumerate(rules):
            if rule.enabled:
                yield ("persistent", "rules", index), rule.model_copy(update={"name": f"persistent:{rule.name}"})

    @property
    def sets(self) -> frozenset[str]:
        """The well-known sets that the assigned policy and the persistent rules name."""
        rules = self.rules(self.content.assigned) if self.content.assigned else ()
        filters = (each for _, rule in chain(self.persistent(), rules) for each in self._filters(rule))
        sides = (side for each in filters for side in (each.source, each.destination))
        return frozenset(side.text for side in sides if side.kind is Kind.WELL_KNOWN)

    def filters(self, path: Path, rule: Rule) -> Iterator[tuple[Path, Filter]]:
        """The filters of the rule at this path, each with its own path, which is empty for a built-in one."""
        where: Path | None = (*path, "filters")
        if rule.filter_list is not None:
            where = None if rule.filter_list in builtin.FILTER_LISTS else ("filter_lists", rule.filter_list)
        for index, each in enumerate(self._filters(rule)):
            yield () if where is None else (*where, index), each

    def size(self, rule: Rule) -> int:
        """The number of the rule's filters."""
        return len(self._filters(rule))

    def _filters(self, rule: Rule) -> tuple[Filter, ...]:
        if rule.filters is not None:
            return rule.filters
        name = rule.filter_list or ""
        return builtin.FILTER_LISTS.get(name) or self.content.filter_lists[name]

    def action(self, rule: Rule) -> FilterAction:
        """The filter action of the rule."""
        return builtin.FILTER_ACTIONS.get(rule.action) or self.content.filter_actions[rule.action]

    def is_negotiated(self, rule: Rule) -> bool:
        """Whether the rule protects."""
        return self.action(rule).action == "negotiate"

    def mistake(self, path: Path, message: str, hint: str = "") -> Mistake:
        """A remark about what stands at this path."""
        return self.tree.mistake(path, message, hint)

    def line(self, path: Path) -> int:
        """The line of what stands at this path; 0 for the empty path of what is built in."""
        return self.tree.mark(path).line if path else 0
