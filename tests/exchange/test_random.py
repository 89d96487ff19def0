"""Anything at any time: both ends act at random on a network that loses, repeats, reorders and goes dark.

A failure names its seed; the same seed does the same again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest

from ipsecd.ike.config import Lifetime
from ipsecd.ike.effects import Effect
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link, Node
from tests.exchange.rest import settle
from tests.exchange.standing import stand

LONG = os.environ.get("IPSECD_PROFILE") == "long"
RUNS = 20_000 if LONG else 400

pytestmark = pytest.mark.timeout(14_400 if LONG else 300)

Act = Callable[[Node, float, Random], list[Effect]]


def _peer(node: Node) -> str:
    return "b" if node.name == "a" else "a"


def _spi(node: Node, chance: Random) -> bytes:
    return chance.choice(sorted(node.inbound)) if node.inbound else b"none"


REKEYS: dict[str, Act] = {
    "child rekey": lambda node, now, _: node.ike.rekey("net", now),
    "ike rekey": lambda node, now, _: node.ike.rekey_peer(_peer(node), now),
}
ACTS: dict[str, Act] = REKEYS | {
    "child delete": lambda node, now, _: node.ike.down("net", now),
    "other child delete": lambda node, now, _: node.ike.down("more", now),
    "ike delete": lambda node, now, _: node.ike.down_peer(_peer(node), now),
    "child": lambda node, now, _: node.ike.up("net", now),
    "other child": lambda node, now, _: node.ike.up("more", now),
    "acquire": lambda node, now, _: node.ike.acquire("more", None, now),
    "soft limit": lambda node, now, chance: node.ike.soft_expired(_spi(node, chance), now),
    "hard limit": lambda node, now, chance: node.ike.hard_expired(_spi(node, chance), now),
    "not installed": lambda node, now, chance: node.ike.install_failed(_spi(node, chance), "no memory", now),
}


def go_dark(pair: Pair, chance: Random, longest: float) -> str:
    """Nothing arrives from one end, or from both, for a while."""
    silent = chance.choice(((A,), (B,), (A, B)))
    seconds = chance.random() * longest
    pair.net.hook = lambda datagram: None if str(datagram.source.address) in silent else datagram
    pair.net.run(seconds)
    pair.net.hook = lambda datagram: datagram
    return f"nothing from {silent} for {seconds:.1f} s"


def act(pair: Pair, chance: Random, acts: dict[str, Act], longest_pause: float) -> str:
    pair.net.run(chance.random() * chance.choice((0.05, 0.5, longest_pause)))
    node = chance.choice((pair.a, pair.b))
    name = chance.choice(sorted(acts))
    pair.do(node, acts[name](node, pair.net.now, chance))
    return f"{pair.net.now - 1_000:.3f} {node.name} {name}"


def anything(seed: int) -> None:
    chance = Random(seed)
    more = child_of_a("more", local=(Selector.net("10.3.0.0/16"),))
    children = (child_of_a(start=chance.random() < 0.5, lifetime=Lifetime(chance.choice((None, 200.0)))), more)
    there = (peer_b(*children), peer_a(*map(mirrored, children)))
    pair = stand(Pair(f"anything {seed}", of_a=there[0], of_b=there[1]))
    slowest = chance.choice((0.006, 0.1, 0.4, 3.0))
    pair.net.link = Link(chance.choice((0.0, 0.1, 0.3)), 0.1, delay=(0.005, slowest))
    story = []
    for _ in range(chance.randint(2, 12)):
        story.append(act(pair, chance, ACTS, 5.0))
        if chance.random() < 0.1:
            story.append(go_dark(pair, chance, chance.choice((5.0, 60.0))))
    pair.net.run(chance.choice((0.0, 20.0)))
    assert settle(pair) == [], (seed, story)


def test_whatever_both_ends_do_they_agree_when_it_is_quiet_again() -> None:
    for seed in range(RUNS):
        anything(seed)


def rekeys(seed: int) -> None:
    """All within 40 seconds, so that the last repeat of each request gets through: nobody may be given up."""
    chance = Random(seed)
    pair = stand(Pair(f"rekeys {seed}"))
    slowest = chance.choice((0.006, 0.1, 0.4, 1.0, 3.0))
    pair.net.link = Link(chance.choice((0.0, 0.1, 0.2)), 0.1, delay=(0.005, slowest))
    pair.net.exchange_packets(pair.a, pair.b, "net", every=0.5, until=pair.net.now + 150)
    story = [act(pair, chance, REKEYS, 3.0) for _ in range(chance.randint(1, 7))]
    if chance.random() < 0.3:
        story.append(go_dark(pair, chance, 18.0))
    pair.net.link = Link(delay=pair.net.link.delay)
    pair.net.run(120)
    assert settle(pair) == [], (seed, story)
    assert pair.agree(1), (seed, story)
    assert pair.net.lost_packets == [], (seed, story)
    assert not pair.a.events("peer-dead") + pair.b.events("peer-dead"), (seed, story)
    assert sum(pair.a.packets.values()) == 301


def test_however_often_both_ends_rekey_no_packet_is_lost() -> None:
    for seed in range(RUNS // 4):
        rekeys(seed)
