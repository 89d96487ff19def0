"""A floor that was changed from another is the one that would have been written whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.io.rewriting import rewriting, written
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.floor import TABLE, ruleset
from ipsecd.policy.plan import Entry, Plan
from tests.property.test_policy_branching import deepest, entries, trees

INTERFACES = Interfaces(("lan0",), ("ppp0",))
_RULE = re.compile(r'counter name "([^"]+)"|(?:goto|jump) (\S+)$')


class Table:
    """Does what a transaction says, as the kernel does: nothing is used that isn't there, and nothing goes that is used
    still."""

    def __init__(self, text: str) -> None:
        made = written(text, TABLE)
        assert made is not None
        self.before = made
        self.counters = set(made.counters)
        self.chains = {name: list(rules) for name, rules in made.chains.items()}

    def do(self, text: str) -> None:
        chain: list[str] = []
        for line in text.splitlines():
            match line.split():
                case ["counter", name, "{"] if not line.startswith("\t\t"):
                    self.counters.add(name)
                case ["chain", name, "{"]:
                    chain = self.chains.setdefault(name, [])
                case ["flush", "chain", _, _, name]:
                    self.chains[name].clear()
                case ["delete", "chain", _, _, name]:
                    assert not self.chains.pop(name)
                    assert name not in self.used()
                case ["delete", "counter", _, _, name]:
                    self.counters.remove(name)
                    assert name not in self.used()
                case _ if line.startswith("\t\t"):
                    chain.append(line)
                case words:
                    assert words in ([], ["}"], ["table", "inet", TABLE, "{"]) or words[:2] == ["flush", "set"], line
        assert self.used() <= self.counters | self.chains.keys()

    def used(self) -> set[str]:
        rules = (rule for each in self.chains.values() for rule in each)
        return {match[1] or match[2] for rule in rules for match in _RULE.finditer(rule)}


def floor(found: Sequence[Entry], outside: str) -> str:
    named = tuple(replace(entry, name=f"e{entry.line}/1") for entry in found)
    return ruleset(Plan("p", entries=named), (outside,), INTERFACES)


numbered = st.builds(lambda entry, number: replace(entry, line=number), entries(), st.integers(0, 99))
policies = st.lists(numbered, min_size=8, max_size=14, unique_by=lambda entry: entry.line)


@st.composite
def edits(draw: st.DrawFn) -> tuple[list[Entry], list[Entry]]:
    """A policy, and the same with an entry or two more, less, elsewhere, or others."""
    old = draw(policies)
    new = list(old)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(new) - 1))
        match draw(st.sampled_from(("more", "less", "moved", "other"))):
            case "more":
                new.insert(place, replace(draw(entries()), line=100 + len(new)))
            case "less":
                new.pop(place)
            case "moved":
                new.insert(0, new.pop(place))
            case _:
                new[place] = replace(draw(entries()), line=new[place].line)
    return old, new


@given(edits() | st.tuples(policies, policies), st.sampled_from(("wan0", "wan1")), st.booleans())
def test_what_was_changed_is_what_would_have_been_written(
    policies: tuple[list[Entry], list[Entry]], outside: str, few: bool
) -> None:
    with trees(leaf=1 if few else limits.LEAF):
        old, new = floor(policies[0], "wan0"), floor(policies[1], outside)
    wanted, table = written(new, TABLE), Table(old)
    assert wanted is not None
    changed = rewriting(table.before, wanted, TABLE)
    if changed is not None:  # else the whole is written
        table.do(changed.text)
        assert table.counters == wanted.counters
        assert table.chains == {name: list(rules) for name, rules in wanted.chains.items()}


@given(edits())
def test_whole_floors_stand_no_deeper_than_the_kernel_takes(policies: tuple[list[Entry], list[Entry]]) -> None:
    for found in policies:
        with trees():
            made = written(floor(found, "wan0"), TABLE)
        assert made is not None
        chains = {name: [rule.replace("jump", "goto") for rule in rules] for name, rules in made.chains.items()}
        assert max(deepest(chains, name) for name, hook in made.hooks.items() if hook) <= 16
