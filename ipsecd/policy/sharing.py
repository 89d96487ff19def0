"""Branches that say the same are one chain: what is blocked, or may only leave inside an SA, is dropped in the same
words at several hooks, and so whole branches of their trees are alike."""

from __future__ import annotations

import re

from ipsecd.policy.branching import Chains

_BRANCH = re.compile(r"_v[46](_\w+)?_\d+(_rest)?")


def shared(chains: Chains) -> Chains:
    """The same chains, but of branches that say the same only the first; others go to that one too."""
    return _Sharing(chains).kept


class _Sharing:
    def __init__(self, chains: Chains) -> None:
        self.kept: Chains = {}
        self._chains = chains
        self._instead: dict[str, str] = {}
        self._first: dict[tuple[str, ...], str] = {}
        for name in chains:
            self._settled(name)

    def _settled(self, name: str) -> str:
        """The chain that says what this one says, when all behind it are settled."""
        if name not in self._instead:
            rules = [self._redirected(rule) for rule in self._chains[name]]
            found = self._first.setdefault(tuple(rules), name) if _BRANCH.search(name) else name
            self._instead[name] = found
            if found == name:
                self.kept[name] = rules
        return self._instead[name]

    def _redirected(self, rule: str) -> str:
        match, goto, target = rule.rpartition("goto ")
        return f"{match}goto {self._settled(target)}" if goto and target in self._chains else rule
