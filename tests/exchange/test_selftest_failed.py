"""An algorithm that failed its self-test at start costs a rule that choice, and a rule without any other choice says
so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.crypto import algorithms
from ipsecd.wire.registry import Group
from tests.exchange.gateways import (
    ESP_CLASSIC,
    ESP_GCM,
    ESP_PFS,
    IKE_X25519,
    Pair,
    child_of_a,
    mirrored,
    peer_a,
    peer_b,
)

BOTH_GROUPS = replace(IKE_X25519, groups=(Group.CURVE25519, Group.ECP_256))


@pytest.fixture(autouse=True)
def nothing_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "_withdrawn", set())


def test_the_next_group_of_the_rule_is_used() -> None:
    algorithms.withdraw("x25519")
    child = child_of_a(proposals=(ESP_PFS,))
    pair = Pair(of_a=peer_b(child, proposals=(BOTH_GROUPS,)), of_b=peer_a(mirrored(child), proposals=(BOTH_GROUPS,)))
    assert pair.up()
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(5)
    pair.do(pair.b, pair.b.ike.rekey("net", pair.net.now))
    pair.net.run(10)
    assert pair.agree(1)
    assert pair.a.ike.status()[0].suite == "aes128gcm16-prfsha256-ecp256"
    assert pair.a.ike.status()[0].children[0].suite == "aes128gcm16-ecp256-esn"
    assert pair.a.entropy.key_pairs.keys() | pair.b.entropy.key_pairs.keys() == {Group.ECP_256}


def test_a_rule_without_a_group_left_says_so_and_calls_nobody() -> None:
    algorithms.withdraw("x25519")
    pair = Pair(of_a=peer_b(child_of_a(start=True)))
    pair.net.start()
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
    pair.net.run(100)
    assert pair.net.sent == []
    told = {(report.fields["rule"], report.fields["point"], report.fields["reason"]) for report in pair.a.reports}
    assert told == {
        ("rule-net", "me", "each key exchange proposal of the rule needs what failed its self-test: x25519")
    }
    assert pair.a.gave_up[0].reason == pair.a.reports[0].fields["reason"]
    assert not pair.a.ike.status()


def test_a_rule_without_a_cipher_left_says_so_while_another_rule_of_the_peer_is_served() -> None:
    algorithms.withdraw("aes128")
    children = child_of_a("dead", start=True, proposals=(ESP_CLASSIC,)), child_of_a("net", start=True)
    pair = Pair(
        of_a=peer_b(*children), of_b=peer_a(*(replace(mirrored(child), proposals=(ESP_GCM,)) for child in children))
    )
    pair.net.start()
    pair.net.run(100)
    assert [installed.child for installed in pair.a.inbound.values()] == ["net"]
    (report,) = pair.a.events("child-failed")
    assert (report.fields["rule"], report.fields["reason"]) == (
        "rule-dead",
        "each ESP proposal of the rule needs what failed its self-test: aes128",
    )


def test_a_responder_without_a_group_left_refuses_and_says_why() -> None:
    pair = Pair(of_a=peer_b(proposals=(BOTH_GROUPS,)))
    algorithms.withdraw("x25519")
    assert not pair.up(seconds=5)
    (report,) = pair.b.events("sa-init-refused")
    assert report.fields["reason"] == (
        "no common proposal: the peer offers aes128gcm16-prfsha256-ecp256; "
        "we accept nothing, since what our rule names failed its self-test"
    )
