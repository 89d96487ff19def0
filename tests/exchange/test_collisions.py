"""Both ends do something to the same SA at once (RFC 7296 sections 2.8.1, 2.8.2 and 2.25).

Each case runs with a thousand seeds of moment, delay, order, loss and duplication. However it goes, it ends the same
way: one IKE SA, the children there should be, the same SPIs on both sides, nothing left over.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipsecd.ike.effects import Effect
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import FOREVER, NET_B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link, Node

SEEDS = 1_000
QUIET = 30.0  # virtual seconds from the last loss to the comparison

Act = Callable[[Node, float], list[Effect]]


def rekey_child(node: Node, now: float) -> list[Effect]:
    return node.ike.rekey("net", now)


def rekey_ike(node: Node, now: float) -> list[Effect]:
    return node.ike.rekey_peer("b" if node.name == "a" else "a", now)


def delete_child(node: Node, now: float) -> list[Effect]:
    return node.ike.down("net", now)


def delete_ike(node: Node, now: float) -> list[Effect]:
    return node.ike.down_peer("b" if node.name == "a" else "a", now)


def new_child(node: Node, now: float) -> list[Effect]:
    return node.ike.up("more", now)


# what one end does, what the other does, children that are left on the IKE SA (None: the IKE SA is gone too)
CASES = {
    "child rekey x child rekey": (rekey_child, rekey_child, {1}),
    "ike rekey x ike rekey": (rekey_ike, rekey_ike, {1}),
    "child rekey x child delete": (rekey_child, delete_child, {0}),
    "ike rekey x child rekey": (rekey_ike, rekey_child, {1}),
    "ike rekey x ike delete": (rekey_ike, delete_ike, None),
    "ike rekey x child delete": (rekey_ike, delete_child, {0}),
    "ike rekey x new child": (rekey_ike, new_child, {2}),
    "new child x new child": (new_child, new_child, {2, 3}),
    "child delete x child delete": (delete_child, delete_child, {0}),
    "ike delete x ike delete": (delete_ike, delete_ike, None),
}


def collide(name: str, seed: int, first: Act, second: Act) -> Pair:
    """Both acts within half a second of each other, on a network that loses, repeats, delays and reorders."""
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    pair = Pair(f"{name} {seed}", of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children)))
    assert pair.up()
    chance = pair.net.random
    ends = [(pair.a, first), (pair.b, second)] if chance.random() < 0.5 else [(pair.b, first), (pair.a, second)]
    pair.net.link = Link(chance.choice((0.0, 0.1, 0.2)), 0.1, delay=(0.005, chance.choice((0.006, 0.1, 0.4))))
    start = pair.net.now
    for moment, (node, act) in sorted(((start + chance.random() / 2, end) for end in ends), key=lambda each: each[0]):
        pair.net.run(moment - pair.net.now)
        pair.do(node, act(node, pair.net.now))
    pair.net.run(30)
    pair.net.link = Link()
    pair.net.run(QUIET)
    return pair


@pytest.mark.parametrize("case", CASES)
def test_both_ends_agree_after_a_collision(case: str) -> None:
    first, second, left = CASES[case]
    for seed in range(SEEDS):
        pair = collide(case, seed, first, second)
        a, b = pair.a, pair.b
        assert a.established == b.established, seed
        assert len(a.established) == (0 if left is None else 1), seed
        assert (a.inbound_spis, b.inbound_spis) == (b.outbound_spis, a.outbound_spis), seed
        assert len(a.inbound) in (left or {0}), seed
        assert not a.ike._core.promised, seed
        assert not b.ike._core.promised, seed


def test_an_ike_sa_deleted_during_its_rekey_comes_back_once_where_it_is_wanted() -> None:
    child = child_of_a(start=True)
    for seed in range(SEEDS):
        pair = Pair(f"comes back {seed}", of_a=peer_b(child), of_b=peer_a(mirrored(child)))
        pair.net.start()
        assert pair.net.run(60, until=lambda pair=pair: pair.agree(1))
        pair.net.link = Link(0.1, 0.1, delay=(0.005, 0.3))
        pair.do(pair.a, rekey_ike(pair.a, pair.net.now))
        pair.net.run(pair.net.random.random() / 2)
        pair.do(pair.b, delete_ike(pair.b, pair.net.now))
        pair.net.run(30)
        pair.net.link = Link()
        pair.net.run(QUIET)
        assert pair.agree(1), seed


TRAFFIC = {
    "child rekey": (rekey_child, None),
    "ike rekey": (rekey_ike, None),
    "child rekey x child rekey": (rekey_child, rekey_child),
    "ike rekey x ike rekey": (rekey_ike, rekey_ike),
    "ike rekey x child rekey": (rekey_ike, rekey_child),
}


@pytest.mark.parametrize("case", TRAFFIC)
def test_no_packet_is_lost_by_a_rekey(case: str) -> None:
    """IKE's own datagrams are lost and repeated; packets of the child are delayed as much, but all arrive."""
    first, second = TRAFFIC[case]
    for seed in range(100):
        pair = Pair(f"traffic {case} {seed}", of_a=peer_b(lifetime=FOREVER), of_b=peer_a(lifetime=FOREVER))
        assert pair.up()
        chance = pair.net.random
        pair.net.link = Link(chance.choice((0.0, 0.1)), 0.1, delay=(0.005, chance.choice((0.006, 0.1, 0.4))))
        pair.net.exchange_packets(pair.a, pair.b, "net", every=0.02, until=pair.net.now + 15)
        pair.net.run(chance.random() / 2)
        pair.do(pair.a, first(pair.a, pair.net.now))
        pair.net.run(chance.random() / 2)
        if second is not None:
            pair.do(pair.b, second(pair.b, pair.net.now))
        pair.net.run(30)
        pair.net.link = Link()
        pair.net.run(QUIET)
        assert not pair.net.lost_packets, seed
        assert pair.agree(1), seed
        assert pair.a.outbound != {}, seed


def test_children_rekeyed_again_and_again_by_both_ends_never_disagree() -> None:
    for seed in range(20):
        pair = Pair(f"again {seed}", Link(0.05, 0.1, delay=(0.005, 0.2)))
        pair.up()
        pair.net.exchange_packets(pair.a, pair.b, "net", every=0.05, until=pair.net.now + 100)
        for _ in range(40):
            node = pair.net.random.choice((pair.a, pair.b))
            act = pair.net.random.choice((rekey_child, rekey_child, rekey_ike))
            pair.do(node, act(node, pair.net.now))
            pair.net.run(pair.net.random.random() * 5)
        pair.net.link = Link()
        pair.net.run(60)
        assert pair.agree(1), seed
        assert not pair.net.lost_packets, seed


def test_both_selectors_of_a_rekeyed_child_are_those_of_the_old_one() -> None:
    pair = Pair()
    assert pair.up()
    pair.do(pair.b, rekey_child(pair.b, pair.net.now))
    pair.net.run(10)
    (installed,) = pair.a.inbound.values()
    assert installed.remote == (NET_B,)
