"""Policy files as trees of plain values, and changes of their structure: values of every wrong kind, at every place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from ipsecd.policy.mistakes import fields_at
from ipsecd.policy.parsing import parse
from tests.unit.policy.texts import blocks

ETC = Path(__file__).parents[2] / "etc"
GOOD = tuple(parse(path.read_text(), "p").value for path in sorted([ETC / "policy.yaml", *ETC.glob("examples/*.yaml")]))
LATER = tuple(parse(text, "p").value for text, _ in blocks("unsupported.txt"))

ODD: tuple[Any, ...] = (
    *(0, 1, -1, 65_535, 65_536, 2**32, 2**64, -(2**70), True, False),
    *("", " ", "any", "me", "ME", "dns", "no", "on", "12:30", "007", "0x1F", "1e3", "~", "null", "<<", "="),
    *("2026-11-24", "10.1.0.0/16", "10.1.0.5/16", "10.0.0.9-10.0.0.1", "::/0", "fe80::1%eth0", "::ffff:1.2.3.4"),
    *("0.0.0.0", "255.255.255.255/0", "www.example", "a.b." * 100, "a" * 300, "x" * 70_000, "é" * 10, "…"),
    *("\u202e", "\x1b[2J", "\x00", "\u2028", "{", "}", "*a", "&a", "permit", "negotiate", "aes128gcm16", "group14"),
    *("3des", "keyid:0xzz", "keyid:0x00", "CN=", "C=CH, O=x", "@", "a@b", "fqdn:"),
    *([], {}, [[]], [{}], {"": ""}, {"a": {"b": {"c": []}}}, [None], ["a", "a"], list(range(100))),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree, as what holds it and its key or index."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def path_to(tree: Any, holder: Any) -> tuple[Any, ...]:
    """The path of a mapping or list inside a tree."""
    for above, key in places(tree):
        if above[key] is holder:
            return (*path_to(tree, above), key)
    return ()


def bend(tree: Any, chance: Random) -> None:
    """One change somewhere in the tree."""
    holder, key = chance.choice(list(places(tree)))
    match chance.randrange(8):
        case 0 | 1:
            holder[key] = copy.deepcopy(chance.choice(ODD))
        case 2:
            del holder[key]
        case 3:  # what stands elsewhere, there or in another file
            other, there = chance.choice(list(places(chance.choice((tree, *GOOD, *LATER)))))
            holder[key] = copy.deepcopy(other[there])
        case 4 if isinstance(holder, dict):  # a field that belongs here, or nearly
            known = fields_at(path_to(tree, holder)) or ("name",)
            field = chance.choice(known)
            at = chance.randrange(len(field) + 1)
            name = field if chance.random() < 0.6 else field[:at] + chance.choice("abz_ ") + field[at + 1 :]
            holder[name] = copy.deepcopy(chance.choice(ODD))
        case 5 if isinstance(holder, list):
            holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        case 6:
            holder[key] = [holder[key]] if chance.random() < 0.5 else {chance.choice(("esp", "x")): holder[key]}
        case _ if isinstance(holder[key], str):
            text = holder[key]
            at = chance.randrange(len(text) + 1)
            holder[key] = text[:at] + chance.choice(("", "0", "/", "-", ":", ".", " ", "é", "\t")) + text[at + 1 :]
        case _:
            holder[key] = copy.deepcopy(chance.choice(ODD))
