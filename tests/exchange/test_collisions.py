"""Both ends do something to the same SA at once (RFC 7296 sections 2.8.1, 2.8.2 and 2.25).

Each case runs with a thousand seeds of moment, delay, order, loss and duplication. However it goes, it ends the same
way: one IKE SA, the children there should be, the same SPIs on both sides, nothing left over. What was to be rekeyed
has been, and in at least a quarter of the runs the two really met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from ipsecd.ike.config import Peer
from ipsecd.ike.effects import Effect
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import NET_B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link, Node
from tests.exchange.rest import settle
from tests.exchange.standing import stand

SEEDS = 1_000

Act = Callable[[Node, float], list[Effect]]


def peer_of(node: Node) -> str:
    return "b" if node.name == "a" else "a"


def rekey_child(node: Node, now: float) -> list[Effect]:
    return node.ike.rekey("net", now)


def rekey_ike(node: Node, now: float) -> list[Effect]:
    return node.ike.rekey_peer(peer_of(node), now)


def delete_child(node: Node, now: float) -> list[Effect]:
    return node.ike.down("net", now)


def delete_ike(node: Node, now: float) -> list[Effect]:
    return node.ike.down_peer(peer_of(node), now)


def new_child(node: Node, now: float) -> list[Effect]:
    return node.ike.up("more", now)


@dataclass(frozen=True)
class Case:
    """What one end does and what the other does, and how many IKE SAs and child SAs there may be in the end.
    ``renewed`` are the kinds of SA that must be others than before."""

    first: tuple[Act, ...]
    second: tuple[Act, ...]
    ends: tuple[tuple[int, int], ...]
    renewed: str = ""


ONE, BOTH, BARE, NONE = (1, 1), (1, 2), (1, 0), (0, 0)
CASES = {
    "child rekey x child rekey": Case((rekey_child,), (rekey_child,), (ONE,), "child"),
    "ike rekey x ike rekey": Case((rekey_ike,), (rekey_ike,), (ONE,), "ike"),
    "child rekey x child delete": Case((rekey_child,), (delete_child,), (BARE,)),
    "child rekey x ike delete": Case((rekey_child,), (delete_ike,), (NONE,)),
    "ike rekey x child rekey": Case((rekey_ike,), (rekey_child,), (ONE,), "ike child"),
    "ike rekey x ike delete": Case((rekey_ike,), (delete_ike,), (NONE,)),
    "ike rekey x child delete": Case((rekey_ike,), (delete_child,), (BARE,), "ike"),
    "ike rekey x new child": Case((rekey_ike,), (new_child,), (BOTH,), "ike"),
    "new child x new child": Case((new_child,), (new_child,), (BOTH, (1, 3))),
    "new child x child rekey": Case((new_child,), (rekey_child,), (BOTH,), "child"),
    "new child x child delete": Case((new_child,), (delete_child,), (ONE,)),
    "new child x ike delete": Case((new_child,), (delete_ike,), (NONE, ONE)),  # ONE: it was wanted after the Delete
    "child delete x child delete": Case((delete_child,), (delete_child,), (BARE,)),
    "ike delete x ike delete": Case((delete_ike,), (delete_ike,), (NONE,)),
    "ike rekey x ike rekey and child delete": Case((rekey_ike,), (rekey_ike, delete_child), (BARE,), "ike"),
    "ike rekey x ike rekey and child rekey": Case((rekey_ike,), (rekey_ike, rekey_child), (ONE,), "ike child"),
    "ike rekey x ike rekey and ike delete": Case((rekey_ike,), (rekey_ike, delete_ike), (NONE,)),
}


@cache
def with_two_children(*, start: bool) -> tuple[Peer, Peer]:
    """What each gateway's policy says; one of the children isn't up in the beginning."""
    children = (child_of_a(start=start), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    return peer_b(*children), peer_a(*map(mirrored, children))


def asking(node: Node) -> bool:
    return any(not sa.window.idle for sa in node.ike._core.ikes.values())


class Collision:
    """Both acts within half a second of each other, on a network that loses, repeats, delays and reorders."""

    def __init__(self, name: str, seed: int, *, start: bool = False) -> None:
        case = CASES[name]
        of_a, of_b = with_two_children(start=start)
        self.pair = pair = stand(Pair(f"{name} {seed}", of_a=of_a, of_b=of_b))
        self.children, self.ike = pair.a.inbound_spis | pair.b.inbound_spis, pair.a.established
        self.case = case
        self.met = False

    def run(self) -> None:
        pair, case = self.pair, self.case
        chance = pair.net.random
        slowest = chance.choice((0.006, 0.1, 0.4))
        pair.net.link = Link(chance.choice((0.0, 0.1, 0.2)), 0.1, delay=(0.005, slowest))
        ends = [(pair.a, case.first), (pair.b, case.second)]
        if chance.random() < 0.5:
            ends = [(pair.a, case.second), (pair.b, case.first)]
        if chance.random() < 0.5:
            ends.reverse()
        (early, acts), (late, other_acts) = ends
        self.do(early, acts)
        pair.net.run(chance.random() * chance.choice((slowest, 0.5)))
        self.do(late, other_acts)
        self.met = asking(early) and asking(late)

    def do(self, node: Node, acts: tuple[Act, ...]) -> None:
        for act in acts:
            self.pair.do(node, act(node, self.pair.net.now))

    def check(self, seed: int) -> None:
        pair, case = self.pair, self.case
        assert settle(pair) == [], seed
        assert (len(pair.a.established), len(pair.a.inbound)) in case.ends, seed
        if "ike" in case.renewed:
            assert pair.a.established != self.ike, seed
        if "child" in case.renewed:
            assert not (pair.a.inbound_spis | pair.b.inbound_spis) & self.children, seed


@pytest.mark.parametrize("case", CASES)
def test_both_ends_agree_after_a_collision(case: str) -> None:
    met = 0
    for seed in range(SEEDS):
        collision = Collision(case, seed)
        collision.run()
        collision.pair.net.run(30)
        collision.check(seed)
        assert not collision.pair.a.events("peer-dead") + collision.pair.b.events("peer-dead"), seed
        met += collision.met
    assert met >= SEEDS / 4


def test_rekeys_of_an_ike_sa_that_meet_survive_that_one_end_hears_nothing_for_a_while() -> None:
    """Ten to sixty seconds, which is longer than it takes to believe the peer dead; then it is called again."""
    for seed in range(SEEDS):
        collision = Collision("ike rekey x ike rekey", seed, start=True)
        pair, chance = collision.pair, collision.pair.net.random
        collision.run()
        pair.net.run(chance.random() * 0.3)
        deaf = chance.choice((pair.a, pair.b))
        pair.net.hook = lambda datagram, deaf=deaf: (
            None if str(datagram.destination.address) == deaf.address else datagram
        )
        pair.net.run(chance.uniform(10.0, 60.0))
        pair.net.hook = lambda datagram: datagram
        collision.check(seed)


def test_an_ike_sa_deleted_during_its_rekey_comes_back_once_where_it_is_wanted() -> None:
    for seed in range(SEEDS):
        child = child_of_a(start=True)
        pair = stand(Pair(f"comes back {seed}", of_a=peer_b(child), of_b=peer_a(mirrored(child))))
        before = pair.a.established
        pair.net.link = Link(0.1, 0.1, delay=(0.005, 0.3))
        pair.do(pair.a, rekey_ike(pair.a, pair.net.now))
        pair.net.run(pair.net.random.random() / 2)
        pair.do(pair.b, delete_ike(pair.b, pair.net.now))
        pair.net.run(30)
        assert settle(pair) == [], seed
        assert pair.agree(1), seed
        assert pair.a.established != before, seed


# --- traffic -----------------------------------------------------------------------------------------------------

TRAFFIC: dict[str, tuple[Act | None, Act | None]] = {
    "child rekey": (rekey_child, None),
    "ike rekey": (rekey_ike, None),
    "child rekey x child rekey": (rekey_child, rekey_child),
    "ike rekey x ike rekey": (rekey_ike, rekey_ike),
    "ike rekey x child rekey": (rekey_ike, rekey_child),
}


@pytest.mark.parametrize("case", TRAFFIC)
def test_no_packet_is_lost_by_a_rekey(case: str) -> None:
    """IKE's own datagrams are lost and repeated; packets of the child are delayed as much, but all arrive."""
    for seed in range(100):
        pair = stand(Pair(f"traffic {case} {seed}"))
        before = pair.a.outbound_spis | pair.b.outbound_spis, pair.a.established
        chance = pair.net.random
        pair.net.link = Link(chance.choice((0.0, 0.1)), 0.1, delay=(0.005, chance.choice((0.006, 0.1, 0.4))))
        pair.net.exchange_packets(pair.a, pair.b, "net", every=0.1, until=pair.net.now + 30)
        for node, act in zip((pair.a, pair.b), TRAFFIC[case], strict=True):
            pair.net.run(chance.random() / 2)
            if act is not None:
                pair.do(node, act(node, pair.net.now))
        pair.net.run(30)
        assert pair.net.lost_packets == [], seed
        assert settle(pair) == [], seed
        assert pair.agree(1), seed
        for node in (pair.a, pair.b):
            (spi,) = node.outbound_spis
            assert node.packets[spi] > 0, seed  # by what is in force now
            assert sum(node.packets.values()) == 301, seed
            assert (spi in before[0]) == ("child" not in case), seed
        assert (pair.a.established == before[1]) == ("ike" not in case), seed


def test_children_rekeyed_again_and_again_by_both_ends_never_disagree() -> None:
    for seed in range(20):
        pair = stand(Pair(f"again {seed}", Link(0.05, 0.1, delay=(0.005, 0.2))))
        pair.net.exchange_packets(pair.a, pair.b, "net", every=0.05, until=pair.net.now + 100)
        for _ in range(40):
            node = pair.net.random.choice((pair.a, pair.b))
            act = pair.net.random.choice((rekey_child, rekey_child, rekey_ike))
            pair.do(node, act(node, pair.net.now))
            pair.net.run(pair.net.random.random() * 5)
        assert settle(pair) == [], seed
        assert pair.agree(1), seed
        assert pair.net.lost_packets == [], seed
        assert len(pair.a.packets) > 10, seed  # so many SAs have carried something


def test_both_selectors_of_a_rekeyed_child_are_those_of_the_old_one() -> None:
    pair = stand(Pair())
    pair.do(pair.b, rekey_child(pair.b, pair.net.now))
    pair.net.run(10)
    (installed,) = pair.a.inbound.values()
    assert installed.remote == (NET_B,)
