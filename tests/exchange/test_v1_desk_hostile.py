"""What peers that have proved themselves, and then want harm, can't do by IKEv1 to us and to other peers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.v1.quick_terms import Ends
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import KEY, A, B, child_of_a, mirrored
from tests.exchange.v1_desks import Desks, pair, peer_a, peer_b


def ask_for(net: Desks, *hosts: int) -> None:
    """Gateway a begins a quick mode for each of so many hosts of its network."""
    (party,) = net.a.desk._parties
    terms = party._terms["net"]
    far = Selector.net("10.2.0.0/16")
    for number in hosts:
        host = ip_address("10.1.0.0") + number
        ends = Ends(Selector(host, host), far)
        net.do(net.a, lambda _, ends=ends: party.association.want(terms, ends))  # type: ignore[misc]  # as it is now
    net.run(10.0)


def test_a_peer_has_no_more_pairs_of_sas_than_it_may_have_whatever_isakmp_sas_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = pair()
    net.want(net.a).run(5.0)
    monkeypatch.setattr(limits, "MAX_REKEYED_PER_IKE_SA", 10)
    ask_for(net, *range(1, 8))
    assert len(net.b.inbound) == 8
    net.do(net.a, lambda desk: desk.rekey_peer("b")).run(5.0)
    ask_for(net, *range(8, 20))
    assert len(net.b.inbound) == 10
    assert net.b.core.counters["too-many-children"] == 10
    (party,) = net.a.desk._parties
    net.do(net.a, lambda _: party.association.close("enough")).run(limits.OLD_INBOUND_KEPT + 1.0)
    assert net.b.inbound == {}


def test_what_one_key_has_opened_another_key_of_a_rule_beside_it_does_not_open() -> None:
    """We call for the rule that has both, and the peer has lost the one that the other rule wants."""
    good, other = (replace(KEY, key=Secret(each * 32)) for each in (b"1", b"2"))
    one, two = child_of_a("one"), child_of_a("two", local=(Selector.net("10.8.0.0/16"),))
    rules = (
        peer_a(mirrored(one), name="one", shared_keys=(good,)),
        peer_a(mirrored(two), name="two", shared_keys=(good, other)),
    )
    net = Desks((A, IkeConfig((peer_b(one, two, shared_keys=(good,)),))), (B, IkeConfig(rules)))
    net.want(net.b, child="two").run(5.0)
    net.want(net.b, child="one").run(5.0)
    assert sorted(sa.child for sa in net.b.outbound.values()) == ["one", "two"]
    net.reload(net.a, IkeConfig((peer_b(one, two, shared_keys=(other,)),))).run(1.0)
    for _ in range(2):  # with each key
        net.want(net.b, child="two").run(90.0)
    assert [sa.child for sa in net.b.outbound.values()] == ["two"]
    net.want(net.a, child="one").run(10.0)
    assert [sa.child for sa in net.b.outbound.values()] == ["two"]
    assert net.a.told[-1] == ("failed", "one: the peer says INVALID_ID_INFORMATION")
