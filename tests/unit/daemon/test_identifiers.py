"""A child of a policy keeps its identifier as long as it is the same child, whatever it is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.daemon.identifiers import Identifiers
from ipsecd.policy.plan import Child, Encapsulation, EspProposal, Lifetime, Peer, Plan
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr
from ipsecd.wire.selector import Selector

HERE = Selector.net("10.1.0.0/16")
GCM, CBC = EspProposal(((Encr.AES_GCM_16, 128),), ()), EspProposal(((Encr.AES_CBC, 128),), ())


def child(name: str, far: str, proposal: EspProposal = GCM) -> Child:
    there = Selector.net(f"10.{far}.0.0/16")
    return Child(name, name, (HERE,), (there,), (proposal,), Lifetime(900), start=False)


def peer(identity: str, *children: Child) -> Peer:
    return Peer(
        name=children[0].name,
        local=None,
        remotes=(),
        anywhere=True,
        remote_name="",
        remote_port=500,
        local_id=Identity.parse("here.example"),
        remote_id=Identity.parse(identity),
        shared_keys=("key",),
        proposals=(),
        lifetime=Lifetime(900),
        dpd=30.0,
        encapsulation=Encapsulation.AUTO,
        fragmentation=True,
        keylog=False,
        children=children,
    )


def plan(*peers: Peer) -> Plan:
    return Plan(policy="p", peers=peers)


B, C = "b.example", "c.example"
BEFORE = plan(peer(B, child("x", "2"), child("y", "3")), peer(C, child("z", "2")))  # known by 1, 2 and 3


@pytest.mark.parametrize(
    ("after", "ids"),
    [
        (BEFORE, {"x": "1", "y": "2", "z": "3"}),
        (plan(peer(C, child("z", "2")), peer(B, child("y", "3"), child("x", "2"))), {"z": "3", "y": "2", "x": "1"}),
        (plan(peer(B, child("a", "2"), child("b", "3")), peer(C, child("c", "2"))), {"a": "1", "b": "2", "c": "3"}),
        (plan(peer(B, child("y", "2"), child("x", "3"))), {"y": "1", "x": "2"}),
        (plan(peer(B, child("x", "9"), child("w", "2"))), {"x": "4", "w": "1"}),
        (plan(peer(B, child("x", "9"))), {"x": "1"}),
        (plan(peer(B, child("x", "2", CBC))), {"x": "1"}),
        (plan(peer(B, child("w", "2", CBC))), {"w": "1"}),
        (plan(peer(B, child("w", "2", CBC), child("v", "2"))), {"w": "4", "v": "1"}),
        (plan(peer(C, child("x", "3"))), {"x": "4"}),
        (plan(peer(C, child("y", "2"), child("x", "2", CBC))), {"y": "3", "x": "4"}),
        (plan(peer(B, replace(child("x", "2"), lifetime=Lifetime(60), start=True))), {"x": "1"}),
    ],
    ids=[
        "nothing changes",
        "all change places",
        "all are renamed",
        "two exchange their names",
        "one is renamed, and another has its name",
        "one covers something else",
        "one has other algorithms",
        "one has other algorithms and another name",
        "of two for the same traffic the one with the same algorithms",
        "another peer has the name",
        "another peer has the traffic",
        "what no SA is negotiated from",
    ],
)
def test_it_stays_with_the_traffic_and_the_peer_then_with_the_name(after: Plan, ids: dict[str, str]) -> None:
    identifiers = Identifiers()
    before = identifiers.of(BEFORE)
    assert before == {"x": "1", "y": "2", "z": "3"}
    assert identifiers.of(after, BEFORE, before) == ids


def test_none_is_given_twice_even_if_nothing_came_of_the_plan() -> None:
    identifiers = Identifiers()
    before = identifiers.of(BEFORE)
    other = plan(peer(B, child("n", "7")))
    assert [identifiers.of(other, BEFORE, before) for _ in range(2)] == [{"n": "4"}, {"n": "5"}]
