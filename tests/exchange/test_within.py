"""A peer that calls from anywhere, by a rule for one type of connection: it may do so from where that type leads, at
the time of its call and as routes change."""

from __future__ import annotations

from dataclasses import replace

from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.effects import MovePath
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import A, B, Pair, peer_a
from tests.exchange.network import endpoint

NEAR, FAR = (Selector.net("192.0.2.0/24"), Selector.net("2001:db8::/32")), (Selector.net("203.0.113.0/24"),)
OF_A = peer_a(remotes=(), within=NEAR)


def stages(pair: Pair) -> list[str]:
    return [sa.stage for sa in pair.b.ike.status()]


def reload(pair: Pair, *within: tuple[Selector, ...] | None) -> None:
    peers = tuple(replace(OF_A, name=f"r{number}", within=each) for number, each in enumerate(within))
    pair.do(pair.b, pair.b.ike.reconfigure(IkeConfig(peers), pair.net.now))
    pair.net.run(5)


def test_it_is_answered_where_the_rule_lets_it_be_and_nowhere_else() -> None:
    assert Pair(of_b=OF_A).up()
    refused = Pair(of_b=replace(OF_A, within=FAR))
    assert not refused.up(seconds=20)
    assert stages(refused) == []
    assert not Pair(of_b=replace(OF_A, within=())).up(seconds=20)


def test_of_two_rules_that_for_its_way_answers() -> None:
    pair = Pair(of_b=(replace(OF_A, name="far", within=FAR), replace(OF_A, name="near")))
    assert pair.up()
    assert [sa.peer for sa in pair.b.ike.status()] == ["near"]


def test_what_it_has_lasts_while_its_way_is_for_the_rule_whatever_becomes_of_others() -> None:
    pair = Pair(of_b=OF_A)
    assert pair.up()
    spis = set(pair.b.inbound)
    for within in ((*NEAR, *FAR), None, NEAR):
        reload(pair, within)
        assert set(pair.b.inbound) == spis
    reload(pair, FAR)
    assert pair.b.inbound == {}
    assert stages(pair) == []
    assert [report.fields["reason"] for report in pair.b.events("ike-closed")] == ["the policy has changed"]


def test_what_it_has_stays_by_another_rule_of_the_same_terms_that_is_for_its_way_now() -> None:
    pair = Pair(of_b=OF_A)
    assert pair.up()
    reload(pair, FAR, NEAR)
    assert [sa.peer for sa in pair.b.ike.status()] == ["r1"]
    assert pair.agree(1)


def test_it_is_not_followed_to_where_the_rule_does_not_let_it_be() -> None:
    pair = Pair(of_b=OF_A)
    assert pair.up()
    (spi,) = pair.b.inbound
    for address, moves in (("203.0.113.9", False), ("192.0.2.99", True)):
        moved = Path(endpoint(B, 4500), endpoint(address, 4500), natt=True)
        assert pair.b.ike.peer_moved(spi, moved, pair.net.now) == ([MovePath((spi,), moved)] if moves else [])
    assert A.startswith("192.0.2.")
