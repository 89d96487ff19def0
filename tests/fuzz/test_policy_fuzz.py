"""Policy files bent in their structure: values of every wrong kind at every place of good policies, written out in
every way YAML has. Each ends in a plan or in a ConfigError that points into the text and repeats no secret."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.check import check
from ipsecd.policy.diff import diff
from ipsecd.policy.load import load_policy
from ipsecd.policy.mistakes import fields_at
from ipsecd.policy.parsing import parse
from ipsecd.policy.plan import Plan
from ipsecd.policy.planning import plan
from tests.unit.policy.texts import blocks

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "1"))
POLICIES = 50_000 if os.environ.get("IPSECD_PROFILE") == "long" else 2_000
PARTS = 8  # of one run, so that they can run beside each other

ETC = Path(__file__).parents[2] / "etc"
GOOD = tuple(parse(path.read_text(), "p").value for path in sorted([ETC / "policy.yaml", *ETC.glob("examples/*.yaml")]))
LATER = tuple(parse(text, "p").value for text, _ in blocks("unsupported.txt"))
SECRET = "s3cret-K3Y"  # put among credentials; no message may show it

ODD: tuple[Any, ...] = (
    *(0, 1, -1, 65_535, 65_536, 2**32, 2**64, -(2**70), True, False),
    *("", " ", "any", "me", "ME", "dns", "no", "on", "12:30", "007", "0x1F", "1e3", "~", "null", "<<", "="),
    *("2026-11-24", "10.1.0.0/16", "10.1.0.5/16", "10.0.0.9-10.0.0.1", "::/0", "fe80::1%eth0", "::ffff:1.2.3.4"),
    *("0.0.0.0", "255.255.255.255/0", "www.example", "a.b." * 100, "a" * 300, "x" * 70_000, "é" * 10, "…"),
    *("\u202e", "\x1b[2J", "\x00", "\u2028", "{", "}", "*a", "&a", "permit", "negotiate", "aes128gcm16", "group14"),
    *("3des", "keyid:0xzz", "keyid:0x00", "CN=", "C=CH, O=x", "@", "a@b", "fqdn:"),
    *([], {}, [[]], [{}], {"": ""}, {"a": {"b": {"c": []}}}, [None], ["a", "a"], list(range(100))),
)


# --- bending ------------------------------------------------------------------------------------------------------


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


def plant(tree: Any, chance: Random) -> None:
    """What people do in spite of everything: put the key itself among the credentials."""
    credentials = tree.get("credentials") if isinstance(tree, dict) else None
    if not isinstance(credentials, dict) or not list(places(credentials)):
        return
    holder, key = chance.choice(list(places(credentials)))
    ways = (SECRET, f"{SECRET} {SECRET}", {"key": SECRET}, {SECRET: SECRET}, [SECRET], f"{SECRET}\n")
    holder[key] = copy.deepcopy(chance.choice(ways))


# --- writing ------------------------------------------------------------------------------------------------------


def scalar(value: Any, chance: Random) -> str:
    """Plain or quoted; not always as it should be."""
    if not isinstance(value, str):
        return {True: "true", False: "false", None: chance.choice(("", "~"))}.get(value) or str(value)
    if chance.random() < 0.003:
        return value
    if value.isascii() and value[:1].isalnum() and ": " not in value and " #" not in value and chance.random() < 0.6:
        return value.translate(dict.fromkeys(map(ord, "{}[],\n\t")))
    escaped = "".join(
        f"\\U{ord(letter):08x}" if not letter.isprintable() or letter in '"\\' else letter for letter in value
    )
    return f'"{escaped}"'


def flow(value: Any, chance: Random) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key, chance)}: {flow(item, chance)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, chance) for item in value) + "]"
    return scalar(value, chance)


def block(value: Any, chance: Random, depth: int = 0) -> str:
    if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
        decoration = chance.choice(("&a ", "!!str ", "!x ", "*a #")) if chance.random() < 0.005 else ""
        return f" {decoration}{flow(value, chance)}\n"
    pad = "  " * depth + (" " if chance.random() < 0.002 else "") + ("\t" if chance.random() < 0.001 else "")
    if isinstance(value, list):
        return "\n" + "".join(f"{pad}-{block(item, chance, depth + 1)}" for item in value)
    lines = [f"{pad}{scalar(key, chance)}:{block(item, chance, depth + 1)}" for key, item in value.items()]
    if chance.random() < 0.01:
        lines.append(chance.choice(lines))
    return "\n" + "".join(lines)


def written(tree: Any, chance: Random) -> str:
    text = block(tree, chance).lstrip("\n")
    match chance.randrange(60):
        case 0:
            return text[: chance.randrange(len(text) + 1)]
        case 1:
            return text + "---\n" + text
        case 2:
            return text.replace("\n", "\r\n")
        case 3:
            return "\ufeff" + text
        case 4:
            return text + chance.choice(("\x00", "\ud800", "[" * 5_000, "{a: " * 40, "? [x]\n: 1\n"))
    return text


# --- judging ------------------------------------------------------------------------------------------------------


def judge(text: str) -> Plan | None:
    """The plan of the text, or None if it was refused properly; anything else raises."""
    try:
        policy_file = load_policy(text, "p.yaml")
        verdict = check(text, "p.yaml")
        assert verdict.good
        made = plan(
            policy_file, lambda name: (ip_address("198.51.100.1"),) if "x" in name else (), (ip_address("10.0.0.1"),)
        )
    except ConfigError as error:
        judge_mistakes(error, text)
        return None
    assert verdict.refused == ()
    assert len({entry.name for entry in made.entries}) == len(made.entries)
    assert {entry.child for entry in made.entries} - {""} == {
        child.name for peer in made.peers for child in peer.children
    }
    assert diff(made, made).empty
    return made


def judge_mistakes(error: ConfigError, text: str) -> None:
    assert error.mistakes
    lines = text.count("\n") + text.count("\r") + text.count("\u2028") + text.count("\u2029") + text.count("\x85") + 2
    for mistake in error.mistakes:
        assert mistake.file == "p.yaml"
        assert 1 <= mistake.line <= lines
        assert mistake.column >= 1
        assert mistake.message
        shown = str(mistake)
        assert shown.isprintable()
        assert len(shown) < 1_500
        assert SECRET not in shown
    places_told = [(mistake.line, mistake.column) for mistake in error.mistakes]
    assert places_told == sorted(places_told) or not error.mistakes[-1].path


@pytest.mark.parametrize("part", range(PARTS))
def test_a_bent_policy_ends_in_a_plan_or_in_mistakes(part: int) -> None:
    chance = Random(SEED * 1_000 + part)
    plans = refused = 0
    for number in range(POLICIES // PARTS):
        tree = copy.deepcopy(chance.choice(GOOD if chance.random() < 0.8 else LATER))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 4, 12))):
            if isinstance(tree, dict | list) and list(places(tree)):
                bend(tree, chance)
        if chance.random() < 0.2:
            plant(tree, chance)
        text = written(tree, chance)
        try:
            made = judge(text)
        except Exception as error:
            raise AssertionError(f"seed {SEED}, part {part}, number {number}:\n{text}") from error
        plans += made is not None
        refused += made is None
    assert plans > POLICIES // PARTS // 40  # both ends are reached
    assert refused > POLICIES // PARTS // 4
