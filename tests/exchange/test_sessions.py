"""An IKE SA that makes only so many child SAs: the next is had on another, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.ike.config import Child, IkeConfig, Lifetime
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link, Node


def child(number: int, **changes: object) -> Child:
    return child_of_a(f"c{number}", local=(Selector.net(f"10.{100 + number}.0.0/16"),), **changes)


def gateways(children: int, of_a: int, of_b: int, **changes: object) -> Pair:
    """Both with these children; ``of_a`` and ``of_b`` are the limits."""
    found = tuple(child(number, **changes) for number in range(children))
    return Pair(of_a=peer_b(*found, sessions=of_a), of_b=peer_a(*map(mirrored, found), sessions=of_b))


def bring_up(pair: Pair, *numbers: int, at: Node | None = None) -> None:
    node = at or pair.a
    for number in numbers:
        pair.do(node, node.ike.up(f"c{number}", pair.net.now))
    pair.net.run(5)


def standing(node: Node) -> list[list[str]]:
    """The children of each IKE SA that stands."""
    found = [sorted(child.name for child in sa.children) for sa in node.ike.status() if sa.stage == "established"]
    return sorted(found)


def both(pair: Pair) -> list[list[str]]:
    """The same, as both ends know it."""
    assert standing(pair.a) == standing(pair.b)
    assert (pair.a.inbound_spis, pair.b.inbound_spis) == (pair.b.outbound_spis, pair.a.outbound_spis)
    return standing(pair.a)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [["c0", "c1", "c2", "c3", "c4"]]),
        (1, [["c0"], ["c1"], ["c2"], ["c3"], ["c4"]]),
        (2, [["c0", "c1"], ["c2", "c3"], ["c4"]]),
    ],
)
def test_each_ike_sa_makes_so_many(most: int, expected: list[list[str]], at_once: bool) -> None:
    pair = gateways(5, most, most)
    for number in range(5):
        pair.do(pair.a, pair.a.ike.acquire(f"c{number}", None, pair.net.now))
        if not at_once:
            pair.net.run(5)
    pair.net.run(5)
    assert both(pair) == expected
    assert not pair.a.gave_up


def test_all_that_start_at_once_stand_for_good_however_many() -> None:
    """More IKE SAs than a peer may have without a limit."""
    pair = gateways(limits.MAX_IKE_SAS_PER_PEER + 20, 1, 1, start=True)
    pair.net.start()
    pair.net.run(3_600)
    assert len(both(pair)) == limits.MAX_IKE_SAS_PER_PEER + 20


@pytest.mark.parametrize(("of_a", "of_b"), [(0, 1), (1, 0)])
def test_the_limit_of_one_end_is_enough(of_a: int, of_b: int) -> None:
    """That of the other is learnt from its refusal, NO_ADDITIONAL_SAS."""
    pair = gateways(3, of_a, of_b)
    bring_up(pair, 0, 1, 2)
    assert both(pair) == [["c0"], ["c1"], ["c2"]]
    bring_up(pair, 0, at=pair.b)  # what is up stays as it is
    assert len(both(pair)) == 3


def test_each_is_called_for_by_itself_without_waiting_for_another() -> None:
    pair = gateways(3, 1, 1)
    for number in range(3):
        pair.do(pair.a, pair.a.ike.acquire(f"c{number}", None, pair.net.now))
    assert len(pair.a.events("ike-calling")) == 3


def test_a_call_for_what_the_peers_ike_sa_has_no_room_for_goes_on() -> None:
    pair = gateways(2, 1, 1)
    pair.do(pair.b, pair.b.ike.up("c1", pair.net.now))
    pair.net.run(0.025)
    pair.do(pair.a, pair.a.ike.up("c0", pair.net.now))
    pair.net.run(5)
    assert both(pair) == [["c0"], ["c1"]]
    assert len(pair.a.events("ike-calling")) == 1


def test_a_second_call_does_not_make_the_peer_forget_the_first_whose_answer_is_lost() -> None:
    """INITIAL_CONTACT is said by the first alone (RFC 7296 section 2.4)."""
    pair = gateways(2, 1, 1)
    pair.do(pair.a, pair.a.ike.acquire("c0", None, pair.net.now))
    pair.net.run(0.025)
    pair.net.hook = lambda datagram: None if str(datagram.source.address) == pair.b.address else datagram
    pair.net.run(0.01)  # b has made the first
    assert standing(pair.b) == [["c0"]]
    pair.net.hook = lambda datagram: datagram
    pair.do(pair.a, pair.a.ike.acquire("c1", None, pair.net.now))
    pair.net.run(10)
    assert both(pair) == [["c0"], ["c1"]]


def test_what_is_in_line_when_the_limit_is_reached_is_had_on_another() -> None:
    pair = gateways(3, 0, 0)
    bring_up(pair, 0)
    for number in (1, 2):
        pair.do(pair.a, pair.a.ike.acquire(f"c{number}", None, pair.net.now))
    limited = replace(pair.a.ike._core.config.peers[0], sessions=2)
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((limited,)), pair.net.now))
    pair.net.run(5)
    assert both(pair) == [["c0", "c1"], ["c2"]]


def test_either_end_may_ask() -> None:
    pair = gateways(4, 2, 2)
    bring_up(pair, 0)
    bring_up(pair, 1, 2, at=pair.b)
    bring_up(pair, 3)
    assert both(pair) == [["c0", "c1"], ["c2", "c3"]]


def test_two_that_both_ends_ask_for_at_once_are_both_had() -> None:
    for seed in range(20):
        pair = gateways(2, 1, 1)
        pair.net.random.seed(seed)
        for node, name in ((pair.a, "c0"), (pair.b, "c1")):
            pair.do(node, node.ike.up(name, pair.net.now))
            pair.net.run(pair.net.random.uniform(0.0, 0.05))
        pair.net.run(60)
        assert both(pair) == [["c0"], ["c1"]]


def test_one_that_both_ends_ask_for_at_once_is_had_once() -> None:
    pair = gateways(1, 1, 1)
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.up("c0", pair.net.now))
    pair.net.run(60)
    assert both(pair) == [["c0"]]


def test_a_rekey_takes_no_room_neither_of_a_child_nor_of_the_ike_sa() -> None:
    pair = gateways(3, 1, 1)
    bring_up(pair, 0, 1)
    before = pair.a.established
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.rekey("c0", pair.net.now))
        pair.net.run(limits.OLD_INBOUND_KEPT + 5)
    assert both(pair) == [["c0"], ["c1"]]
    assert pair.a.established == before
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(limits.REPLACED_KEPT)
    assert both(pair) == [["c0"], ["c1"]]
    assert not set(pair.a.established) & set(before)
    bring_up(pair, 2)
    assert both(pair) == [["c0"], ["c1"], ["c2"]]
    assert not pair.a.events("ike-closed") + pair.b.events("ike-closed")


def test_the_heir_of_an_ike_sa_has_room_for_what_it_did_not_inherit() -> None:
    pair = gateways(3, 2, 2)
    bring_up(pair, 0, 1)
    pair.do(pair.a, pair.a.ike.down("c1", pair.net.now))
    pair.net.run(5)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(limits.REPLACED_KEPT)
    bring_up(pair, 2)
    assert both(pair) == [["c0", "c2"]]


def test_what_has_made_all_it_may_makes_no_more_when_one_is_gone() -> None:
    pair = gateways(3, 2, 2)
    bring_up(pair, 0, 1)
    pair.do(pair.a, pair.a.ike.down("c1", pair.net.now))
    bring_up(pair, 2)
    assert both(pair) == [["c0"], ["c2"]]


@pytest.mark.parametrize("side", "ab")
def test_without_a_child_it_ends_and_the_next_is_made_by_another(side: str) -> None:
    pair = gateways(2, 1, 1)
    bring_up(pair, 0, 1)
    before = pair.a.established
    node = pair.a if side == "a" else pair.b
    pair.do(node, node.ike.down("c0", pair.net.now))
    pair.net.run(30)
    assert both(pair) == [["c1"]]
    bring_up(pair, 0)
    assert both(pair) == [["c0"], ["c1"]]
    assert len(set(pair.a.established) - set(before)) == 1


def test_an_ike_sa_without_a_limit_stays_without_a_child() -> None:
    pair = gateways(1, 0, 0)
    bring_up(pair, 0)
    pair.do(pair.a, pair.a.ike.down("c0", pair.net.now))
    pair.net.run(30)
    assert both(pair) == [[]]


def test_traffic_flows_over_days_of_rekeys() -> None:
    pair = gateways(3, 1, 1, lifetime=Lifetime(600))
    shorter = replace(pair.a.ike._core.config.peers[0], lifetime=Lifetime(2_000))
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((shorter,)), pair.net.now))
    bring_up(pair, 0, 1, 2)
    pair.net.exchange_packets(pair.a, pair.b, "c1", every=0.5, until=pair.net.now + 10_000)
    pair.net.run(10_100)
    assert both(pair) == [["c0"], ["c1"], ["c2"]]
    assert not pair.net.lost_packets
    assert pair.a.events("ike-rekeyed")


def test_another_limit_closes_nothing_and_holds_for_the_next() -> None:
    pair = gateways(4, 0, 0)
    bring_up(pair, 0, 1)
    limited = replace(pair.a.ike._core.config.peers[0], sessions=2)
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((limited,)), pair.net.now))
    pair.net.run(5)
    assert both(pair) == [["c0", "c1"]]
    bring_up(pair, 2, 3)
    assert both(pair) == [["c0", "c1"], ["c2", "c3"]]


@pytest.mark.parametrize("seed", range(8))
def test_what_the_network_loses_is_made_up_for(seed: int) -> None:
    """Calls that cross, answers that are late or lost: in the end each child is there once, and each by itself."""
    pair = gateways(5, 1, 1, start=True)
    pair.net.random.seed(seed)
    pair.net.link = Link(loss=0.3, duplication=0.1, delay=(0.01, 0.4))
    pair.net.start()
    pair.net.run(300)
    pair.net.link = Link()
    pair.net.run(1_000)
    assert both(pair) == [["c0"], ["c1"], ["c2"], ["c3"], ["c4"]]
