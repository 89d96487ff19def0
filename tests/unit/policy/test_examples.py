"""The policies that ship: each loads, means something, and is what an editor would accept."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ipsecd.policy.check import check
from ipsecd.policy.importing.windows import read
from ipsecd.policy.load import load_policy
from ipsecd.policy.parsing import parse
from ipsecd.policy.plan import Action, Plan
from ipsecd.policy.planning import plan
from ipsecd.policy.schema import json_schema
from tests.unit.crypto.vectors import FOLDER
from tests.unit.policy.texts import ME

ETC = Path(__file__).parents[3] / "etc"
EXAMPLES = sorted([*ETC.glob("*.yaml"), *(ETC / "examples").glob("*.yaml")])
LATER = {"windows-domain.yaml", "predefined-legacy.yaml"}
PREDEFINED = ("client-respond-only", "server-request-security", "secure-server-require-security")


def planned(name: str) -> Plan:
    path = ETC / "examples" / name
    policy_file = load_policy(path.read_text(), name)
    return plan(policy_file, lambda _: (ip_address("198.51.100.1"),), tuple(ip_address(text) for text in ME))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_no_mistakes_and_the_schema_agrees(path: Path) -> None:
    text = path.read_text()
    assert check(text, path.name).good
    assert [error.message for error in Draft202012Validator(json_schema()).iter_errors(parse(text, "p").value)] == []


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.name not in LATER], ids=lambda path: path.name)
def test_an_example_uses_what_is_supported(path: Path) -> None:
    verdict = check(path.read_text(), path.name)
    assert verdict.refused == ()
    assert [note.message for note in verdict.notes] == (
        ["no policy is assigned: nothing is protected"] if path.parent == ETC else []
    )


def test_an_example_of_what_comes_later_is_noted() -> None:
    refused = check((ETC / "examples" / "windows-domain.yaml").read_text(), "w").refused
    assert [mistake.message.removeprefix("not supported yet: ") for mistake in refused] == [
        "Kerberos",
        "certificates by IKEv2, which this policy allows",
        "Kerberos",
    ]


def assigned(name: str, policy: str) -> str:
    return f"assigned: {policy}\n{(ETC / name).read_text()}"


@pytest.mark.parametrize("name", PREDEFINED)
def test_a_predefined_policy_can_be_put_in_force_as_it_is(name: str) -> None:
    verdict = check(assigned("predefined.yaml", name), "p.yaml")
    assert (verdict.mistakes, verdict.refused, verdict.notes) == ((), (), ())


@pytest.mark.parametrize("name", PREDEFINED)
def test_each_of_them_answers_hosts_that_ask(name: str) -> None:
    found = plan(load_policy(assigned("predefined.yaml", name), "p"), lambda _: (), (ip_address("192.0.2.1"),))
    assert [(peer.name, peer.shared_keys) for peer in found.peers if peer.responds] == [
        ("default-response", ("hosts",))
    ]


@pytest.mark.parametrize(
    ("name", "passthrough", "fallback"),
    [("server-request-security", True, True), ("secure-server-require-security", False, False)],
)
def test_the_predefined_servers_protect_all_but_icmp_and_request_alone_sends_or_accepts_anything_else_in_clear(
    name: str, passthrough: bool, fallback: bool
) -> None:
    found = plan(load_policy(assigned("predefined.yaml", name), "p"), lambda _: (), (ip_address("192.0.2.1"),))
    entries = [entry for entry in found.entries if entry.pairs]
    assert [(entry.rule, entry.action, entry.passthrough, entry.fallback) for entry in entries] == [
        ("icmp", Action.PERMIT, False, False),
        ("all-traffic", Action.PROTECT, passthrough, fallback),
    ]
    assert [str(remote) for _, remote in entries[1].pairs] == ["0.0.0.0/0"]


def test_the_legacy_variants_are_what_a_domain_controller_has_and_every_name_says_what_they_are() -> None:
    theirs: Any = read((FOLDER / "windows-2000-policies.json").read_text(), "store").tree
    ours: Any = parse((ETC / "predefined-legacy.yaml").read_text(), "p").value
    assert [name.removesuffix("-legacy") for name in ours["policies"]] == [*theirs["policies"]] == [*PREDEFINED]
    for name, policy in theirs["policies"].items():
        legacy = ours["policies"][f"{name}-legacy"]
        assert legacy["description"].startswith("LEGACY")
        assert (legacy["default_response"], legacy["key_exchange"]) == (
            policy["default_response"],
            policy["key_exchange"],
        )
        assert [meaning(theirs, rule) for rule in policy["rules"]] == [
            meaning(ours, rule) for rule in legacy.get("rules", [])
        ]


def meaning(tree: Any, rule: Any) -> Any:
    """A rule without what only people read."""
    action = tree["filter_actions"].get(rule["action"], {})
    told = {field: value for field, value in action.items() if field != "description"} or rule["action"]
    return told, tree["filter_lists"][rule["filter_list"]], rule.get("authentication")


def test_the_legacy_variants_are_warned_of() -> None:
    notes = [note.message for note in check((ETC / "predefined-legacy.yaml").read_text(), "p").notes]
    lets_in = "what comes in clear is let in, from anybody and under any address that the rule covers"
    assert notes.count(lets_in) == 2
    assert sum(note.startswith("offers what is broken or obsolete") for note in notes) == 8


def test_the_policy_that_is_installed_works_once_it_is_assigned() -> None:
    text = (ETC / "policy.yaml").read_text().replace("# assigned: branch", "assigned: branch")
    verdict = check(text, "policy.yaml")
    assert (verdict.mistakes, verdict.refused, verdict.notes) == ((), (), ())


def test_the_two_sites_fit_together() -> None:
    [a], [b] = planned("site-a.yaml").peers, planned("site-b.yaml").peers
    assert (a.local,) == b.remotes
    assert (b.local,) == a.remotes
    assert (a.local_id, a.remote_id) == (b.remote_id, b.local_id)
    assert [(child.local, child.remote) for child in a.children] == [
        (child.remote, child.local) for child in b.children
    ]
    assert [str(child.local[0]) for child in a.children] == ["10.1.0.0/24", "fd01::/64"]
    assert a.shared_keys == b.shared_keys == ("peer",)
    assert planned("site-a.yaml").credentials[0].file == "secrets/peer.psk"


def test_a_hub_knows_its_callers_by_identity() -> None:
    north, south = planned("hub.yaml").peers
    assert (north.anywhere, south.anywhere) == (True, True)
    assert (str(north.remote_id), str(south.remote_id)) == ("gw.north.example", "gw.south.example")
    assert (north.shared_keys, south.shared_keys) == (("north",), ("south",))


def test_everything_goes_through_the_gateway_but_what_is_nearer() -> None:
    entries = planned("everything.yaml").entries
    four = [(entry.rule, entry.action) for entry in entries if entry.pairs[0][0].version == 4]
    assert four == [
        ("no-windows-shares", Action.BLOCK),
        ("no-windows-shares", Action.BLOCK),
        ("own-network", Action.PERMIT),
        ("hq", Action.PROTECT),
        ("", Action.BLOCK),
    ]
    assert {entry.child for entry in entries if entry.rule == "hq"} == {"hq"}
