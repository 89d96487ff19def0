"""What peers that have proved themselves, and then want harm, can't do by IKEv1 to us and to other peers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.ike.v1.quick_terms import Ends
from ipsecd.wire.selector import Selector
from tests.exchange.v1_desks import Desks, pair


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
