"""The policies that ship: each loads, means something, and is what an editor would accept."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ipsecd.policy.check import check
from ipsecd.policy.load import load_policy
from ipsecd.policy.parsing import parse
from ipsecd.policy.plan import Action, Plan
from ipsecd.policy.planning import plan
from ipsecd.policy.schema import json_schema
from tests.unit.policy.texts import ME

ETC = Path(__file__).parents[3] / "etc"
EXAMPLES = sorted([ETC / "policy.yaml", *(ETC / "examples").glob("*.yaml")])
LATER = {"windows-domain.yaml"}


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
        ["no policy is assigned: nothing is protected"] if path.name == "policy.yaml" else []
    )


@pytest.mark.parametrize("name", sorted(LATER))
def test_an_example_of_what_comes_later_is_noted(name: str) -> None:
    assert len(check((ETC / "examples" / name).read_text(), name).refused) >= 5


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
