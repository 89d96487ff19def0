"""The machine code of rules, as ``nft --debug=netlink`` prints it: of a text it reads, and of what the kernel has."""

from __future__ import annotations

import re
from collections.abc import Collection

Code = dict[str, list[str]]  # machine code of each rule in a chain, in order

_UNNAMED = re.compile(r"(set|map) (__\S+)( dreg \d+)?(?: 0x0)?")
_NAMED = re.compile(r"( set [^_]\S*) 0x0")  # flags, which only the kernel's listing has


def machine_code(output: str, table: str, constant: Collection[str] = ()) -> Code:
    """The rules in what ``nft --debug=netlink`` prints, by chain and in order: their instructions, with the
    members of the unnamed sets and maps they look into. Handles and set numbers are left out. The members of
    ``constant`` sets stand beside the chains, by the name with an @ before it.

    Unnamed sets stand before their rule, all called ``__set%d``, in what nft sends; in what the kernel has they stand
    before all rules, with numbers.
    """
    chains: Code = {}
    numbered: dict[str, list[str]] = {}
    ahead: list[list[str]] = []
    sets: dict[str, list[str]] = {}
    members: list[str] = []
    rules: list[str] = []
    named = re.compile(rf"inet {table} @(\S+)|(\S+) {table} \d+(?: size \d+)?$")
    unnamed, rule = re.compile(rf"(?:inet {table} @|)(__(?:set|map)\S+)(.*)"), re.compile(rf"inet {table} ([^@\s]+)")
    for line in output.splitlines():
        if line.startswith("  ["):
            if rules:
                rules[-1] += _with_members(line, ahead, numbered) if "__" in line else _NAMED.sub(r"\1", line)
        elif line.startswith("\telement"):
            members += line.split("\telement ")[1:]
        elif match := unnamed.match(line):
            if "size" in match[2]:
                ahead.append(members := [])
            elif "%" not in match[1]:
                members = numbered.setdefault(match[1], [])
        elif (match := named.match(line)) and (name := match[1] or match[2]) in constant:
            members = sets.setdefault(f"@{name}", [])
        elif match := rule.match(line):
            rules = chains.setdefault(match[1], [])
            rules.append("")
        elif line:  # of another table
            members, rules = [], []
    return chains | {name: sorted(found) for name, found in sets.items()}


def _with_members(line: str, ahead: list[list[str]], numbered: dict[str, list[str]]) -> str:
    match = _UNNAMED.search(line)
    if match is None:
        return line
    found = ahead.pop(0) if "%" in match[2] and ahead else numbered.get(match[2], [])
    return _UNNAMED.sub(rf"\1 of {', '.join(sorted(found))}\3", line)
