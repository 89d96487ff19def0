"""From one text of the table to another: the transaction that changes what differs, and nothing else.

Chains and counters are known by their names. One that is in both texts with the same words stays as it is, with what
it has counted; of a chain that says something else the rules are replaced. The kernel takes all of a transaction at
once: a packet meets the rules of before or those of after, in whichever chains it comes to.

What would have to be made anew as a whole (a base chain with another hook, another set) makes the table anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

Rules = tuple[str, ...]

_BLOCK = re.compile(r"\t(counter|set|chain) (\S+) \{\n((?:\t\t[^\n]*\n)*)\t\}")
_HOOK = "\t\ttype "


@dataclass(frozen=True, slots=True)
class Written:
    """What a text makes of the table: the ``counters``, each ``set`` with what it is, and of each chain what it hangs
    on, empty if others jump there, and its rules."""

    counters: frozenset[str]
    sets: dict[str, str]
    hooks: dict[str, str]
    chains: dict[str, Rules]

    @property
    def count(self) -> Counter[str]:
        """Rules by chain, without chains that have none."""
        return Counter({name: len(rules) for name, rules in self.chains.items() if rules})


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A transaction in nft's words, the ``chains`` that have other rules after it, and those that are ``gone``."""

    text: str
    chains: tuple[str, ...]
    gone: tuple[str, ...]


def written(text: str, table: str) -> Written | None:
    """What a text says that makes the table ``inet <table>`` anew; none if it says anything else, too."""
    head, begun, body = text.partition(f"table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n")
    if not begun or (head and not head.startswith("#")) or not body.endswith("\n}\n"):
        return None
    counters, sets, hooks, chains = set(), {}, {}, {}
    for block in body.removesuffix("\n}\n").split("\n\n"):
        told = _BLOCK.fullmatch(block)
        if told is None:
            return None
        kind, name, inside = told.groups()
        match kind:
            case "counter":
                counters.add(name)
            case "set":
                sets[name] = inside
            case _:
                rules = inside.splitlines()
                hooks[name] = rules.pop(0) if inside.startswith(_HOOK) else ""
                chains[name] = tuple(rules)
    return Written(frozenset(counters), sets, hooks, chains)


def rewriting(old: Written, new: Written, table: str) -> Rewriting | None:
    """What makes the table of ``old`` that of ``new``, with sets that nothing is in but what never changes; none if
    only the whole can be written, or if that is less."""
    kept = old.hooks.keys() & new.hooks.keys()
    if old.sets != new.sets or any(old.hooks[name] != new.hooks[name] for name in kept):
        return None
    gone = [name for name in old.chains if name not in new.chains]
    added = [name for name in new.chains if name not in old.chains]
    changed = [name for name in new.chains if name in kept and old.chains[name] != new.chains[name]]
    if any(old.hooks[name] for name in gone) or any(new.hooks[name] for name in added):
        return None
    if 2 * sum(len(new.chains[name]) for name in (*added, *changed)) > sum(map(len, new.chains.values())):
        return None
    lines = [
        f"table inet {table} {{",
        *(f"\tcounter {name} {{\n\t}}\n" for name in sorted(new.counters - old.counters)),
        *_chains(new, added),
        "}",
        *(f"flush chain inet {table} {name}" for name in (*changed, *gone)),
        f"table inet {table} {{",
        *_chains(new, changed),
        "}",
        *(f"delete chain inet {table} {name}" for name in gone),
        *(f"delete counter inet {table} {name}" for name in sorted(old.counters - new.counters)),
        *(f"flush set inet {table} {name}" for name, inside in new.sets.items() if "flags constant" not in inside),
        "",
    ]
    return Rewriting("\n".join(lines), (*added, *changed), tuple(gone))


def _chains(table: Written, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        yield f"\tchain {name} {{"
        yield from table.chains[name]
        yield "\t}\n"
