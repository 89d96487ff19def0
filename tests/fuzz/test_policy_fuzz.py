"""Policy files bent in their structure: values of every wrong kind at every place of good policies, written out in
every way YAML has. Each ends in a plan or in a ConfigError that points into the text and repeats no secret."""

from __future__ import annotations

import copy
import os
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.check import check
from ipsecd.policy.diff import diff
from ipsecd.policy.load import load_policy
from ipsecd.policy.plan import Plan
from ipsecd.policy.planning import plan
from tests.fuzz.bending import GOOD, LATER, bend, places

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "1"))
POLICIES = 50_000 if os.environ.get("IPSECD_PROFILE") == "long" else 2_000
PARTS = 8  # of one run, so that they can run beside each other

SECRET = "s3cret-K3Y"  # put among credentials; no message may show it


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
    called = {child.name for peer in made.peers if not peer.responds for child in peer.children}
    assert {entry.child for entry in made.entries} - {""} == called
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
