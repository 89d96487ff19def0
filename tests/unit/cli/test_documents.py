"""docs/control-protocol.md and the manual pages say what the programs do: commands, options, answers, exit codes."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

import ipsecd.daemon
from ipsecd.cli import ipsecctl, program
from ipsecd.cli import ipsecd as daemon_program
from ipsecd.cli.client import Client
from ipsecd.daemon.protocol import COMMANDS
from ipsecd.daemon.softsas import SoftSa
from ipsecd.ike.effects import KeyLog
from tests.unit.cli.reference import PROTOCOL, renewed
from tests.unit.daemon.daemons import PATIENCE, Daemon, mirrored, pair, policy, rule, settled

ROOT = Path(__file__).parents[3]
PROGRAMS = {"ipsecd": daemon_program.main, "ipsecctl": ipsecctl.main}
MANUALS = {name: ROOT / "docs" / "man" / f"{name}.8.md" for name in PROGRAMS}


# --- the control protocol -------------------------------------------------------------------------------------------


def test_its_tables_are_those_of_the_code() -> None:
    """If not: python -m tests.unit.cli.reference"""
    assert renewed(PROTOCOL.read_text()) == PROTOCOL.read_text()


def answers() -> dict[str, set[str]]:
    """The fields that the document gives each command."""
    text = PROTOCOL.read_text().partition("\n## Answers\n")[2].partition("\n## Errors\n")[0]
    found: dict[str, set[str]] = {}
    for section in text.split("\n### ")[1:]:
        names, _, body = section.partition("\n")
        for name in names.split(", "):
            found[name] = set(re.findall(r"^\| `(\S+)` \|", body, re.MULTILINE))
    return found


def test_every_command_has_its_answer_described() -> None:
    assert set(answers()) == set(COMMANDS)


def fields(value: Any, before: str = "") -> Iterator[str]:
    """The fields of an answer as the document writes them."""
    names = (
        "faults",
        "drops",
        "drop_reasons",
        "packets",
        "processes",
        "soft_sa_counts",
        "unusable",
    )  # objects whose names are data
    match value:
        case dict():
            for name, inner in value.items():
                yield from fields(inner, f"{before}.*" if before in names else f"{before}.{name}".lstrip("."))
        case list():
            for inner in value:
                yield from fields(inner, f"{before}[]")
        case _:
            yield before


METHODS = "[{esp: {encryption: chacha20poly1305}}, {ah: {integrity: sha256}}]"
CHACHA = f"{{action: negotiate, pfs: [x25519], security_methods: {METHODS}}}"
BOTH = "{action: negotiate, security_methods: [{ah: {integrity: sha256}, esp: {encryption: aes128gcm16}}]}"
ACTIONS = f"filter_actions: {{chacha: {CHACHA}, both: {BOTH}}}\n"
OURS = ACTIONS + policy(
    rule("site", "10.1.0.0/16", "10.2.0.0/16", action="chacha"),
    rule("wide", "10.1.0.0/16", "10.0.0.0/8"),
    rule("plain", "10.1.0.0/16", "10.3.0.0/16", action="both"),
    keylog="true",
)
THEIRS = ACTIONS + policy(
    mirrored(action="chacha"),
    rule("plain", "10.3.0.0/16", "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1", action="both"),
)
HERE, THERE, NARROW = "10.1.0.2", "10.2.0.2", "10.2.0.9"
ASKED: tuple[tuple[str, dict[str, str]], ...] = (
    ("up", {"name": "site"}),
    ("up", {"name": "plain"}),
    ("status", {}),
    ("rekey", {"name": "site"}),
    ("sas", {}),
    ("policy", {}),
    ("explain", {"source": HERE, "destination": THERE}),
    ("explain", {"source": THERE, "destination": HERE}),
    ("explain", {"source": HERE, "destination": NARROW}),
    ("explain", {"source": NARROW, "destination": HERE}),
    ("log-level", {}),
    ("keys-export", {}),
    ("up", {"name": "wide"}),  # which the other side hasn't
    ("status", {}),
    ("down", {"name": "site"}),
    ("reload", {}),
    ("status", {}),
    ("policy", {}),
    ("reload", {}),
    ("reload", {}),
    ("assign", {"name": "sites"}),
    ("assign", {"name": "sites"}),
    ("assign", {"name": "sites"}),
    ("unassign", {}),
    ("status", {}),
    ("sas", {}),
    ("monitor", {}),
)
RELOADED = (  # a rule added and one removed, its key gone; a key that is there again; settings
    (policy(rule("site"), rule("third", "me", "nowhere.invalid"), keylog="true"), ""),
    (policy(rule("site"), keylog="true"), "another key of more than twenty octets"),
    (policy(rule("site", "10.1.0.0/16", "10.4.0.0/16"), key_exchange="{cookie_threshold: 5}"), "one more"),
)


async def everything(a: Daemon) -> dict[str, set[str]]:
    """The fields of what a daemon answers to each command, in all its moods."""

    def ask(command: str, **arguments: Any) -> dict[str, Any]:
        with Client(a.options.control) as client:
            return client.ask(command, **arguments)

    told: dict[str, set[str]] = {command: set() for command in COMMANDS}
    files = iter((*RELOADED, *RELOADED))
    a.app.guard.faults["a test"] += 1
    a.protection.negotiation.counters["runt"] += 1
    a.protection._plane.pids = lambda: {"out": 7, "in": 8}  # type: ignore[method-assign]  # it has none of its own
    a.protection.negotiation.hosts_put_down = lambda: {"site": {"site@192.0.2.9"}}  # type: ignore[method-assign]  # likewise
    status = a.protection.negotiation.status
    given = ("10.3.0.1",)
    a.protection.negotiation.status = lambda: [replace(sa, given=given) for sa in status()]  # type: ignore[method-assign]  # likewise
    a.protection.keys.keep(KeyLog("isakmp", {"cookie_i": b"cookie_i", "key": b"key"}))
    soft = SoftSa(ip_address("192.0.2.9"), "1", "site/1", "site", "site", "", 3.0, a.app.clock.now(), float("inf"))
    a.protection.soft._standing[soft.remote] = soft
    a.protection.soft.counters["made"] += 1
    for command, arguments in ASKED:
        if command in ("reload", "assign"):
            text, key = next(files)
            a.write("policy.yaml", text)
            a.write("peer.psk", key)
        told[command] |= set(fields(await asyncio.to_thread(ask, command, **arguments)))
        await settled()
    return told


def test_the_answers_have_the_fields_that_are_described_and_no_others(tmp_path: Path) -> None:
    async def main() -> dict[str, set[str]]:
        async with asyncio.timeout(PATIENCE), pair(tmp_path, OURS, THEIRS) as (a, _):
            return await everything(a)

    told, described = asyncio.run(main()), answers()
    assert [f"{command} {field}" for command in told for field in told[command] - described[command]] == []
    assert [f"{command} {field}" for command in told for field in described[command] - told[command]] == []


def test_every_reason_of_an_error_is_described() -> None:
    listed = PROTOCOL.read_text().partition("\n## Errors\n")[2].partition("\n## Events\n")[0]
    described = {
        word for row in re.findall(r"^\| (`.*?) \|", listed, re.MULTILINE) for word in re.findall(r"`(.+?)`", row)
    }
    used = {"refused", "bad-policy", "kernel", "fault"}  # of errors that aren't of the protocol
    for path in Path(ipsecd.daemon.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadRequest":
                used.add(ast.literal_eval(node.args[0]))
    assert described == used


# --- the manual pages -----------------------------------------------------------------------------------------------


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that can be given, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def options(command: click.Command) -> set[str]:
    return {word for each in command.params if isinstance(each, click.Option) for word in each.opts if word[:2] == "--"}


def section(manual: str, title: str) -> str:
    """What stands under a heading of a page, up to the next of its kind."""
    found = re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", manual, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_manual_page_has_every_command_with_its_arguments_and_options(name: str) -> None:
    """A command stands as ``**up** *NAME* [**--wait** *SECONDS*]``, alone in its line, its description below."""
    text = section(MANUALS[name].read_text(), "COMMANDS")
    lines = {re.sub(r"[*\[\]]", "", line): line for line in re.findall(r"^\*\*.*$(?=\n: )", text, re.MULTILINE)}
    known = dict(commands(PROGRAMS[name]))
    listed: dict[str, str] = {}
    for words in lines:
        command = next(
            (each for each in sorted(known, key=len, reverse=True) if f"{words} ".startswith(f"{each} ")), None
        )
        if command is not None:
            listed[command] = words
    assert set(listed) == set(known)
    for words, command in known.items():
        arguments = [each.name.upper() for each in command.params if isinstance(each, click.Argument) and each.name]
        told = ["", *listed[words].removeprefix(words).split()]
        given = [word for before, word in pairwise(told) if word.isupper() and before[:2] != "--"]
        assert given == arguments, words


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_manual_page_has_every_option_and_no_other(name: str) -> None:
    text = MANUALS[name].read_text()
    known = options(PROGRAMS[name]).union(*(options(command) for _, command in commands(PROGRAMS[name])))
    assert set(re.findall(r"\*\*(--[a-z-]+)\*\*", text)) == known | {"--help", "--version"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_manual_page_has_every_environment_variable_and_default(name: str) -> None:
    text = MANUALS[name].read_text()
    params = [each for _, command in [("", PROGRAMS[name]), *commands(PROGRAMS[name])] for each in command.params]
    variables = {each.envvar for each in params if isinstance(each.envvar, str)}
    assert set(re.findall(r"\*\*(IPSECD_[A-Z_]+)\*\*", section(text, "ENVIRONMENT"))) == variables
    defaults = {str(each.default) for each in params if isinstance(each, click.Option) and each.show_default}
    assert [default for default in defaults if default not in text] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_manual_page_has_every_exit_code(name: str) -> None:
    listed = re.findall(r"^\*\*(\d+)\*\*$", section(MANUALS[name].read_text(), "EXIT STATUS"), re.MULTILINE)
    codes = {0, program.FAILED, 2, program.INTERRUPTED}
    if name == "ipsecctl":
        codes |= {program.NOT_RUNNING, program.NO_PERMISSION, program.UNUSABLE}
    assert {int(code) for code in listed} == codes
