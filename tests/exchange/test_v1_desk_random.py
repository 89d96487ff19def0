"""Whatever two desks are told to do, on a bad network: nothing goes wrong inside, and in the end they agree."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ipsecd.ike.config import IkeConfig, Lifetime, Peer
from ipsecd.ike.v1.special import Special
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import A, B, child_of_a, mirrored
from tests.exchange.network import Link
from tests.exchange.test_v1_desk import OTHER_KEY
from tests.exchange.v1_desks import Desks, End, peer_a, peer_b

SEEDS = range(40)
NET, ELSE = child_of_a(), child_of_a("else", local=(Selector.net("10.3.0.0/16"),))
EXPOSED = Special(i_accept_offline_guessing=True)


def rules(end: int, random: Random) -> IkeConfig:
    """Mostly as they are at first."""
    changes: dict[str, object] = random.choice(
        ({}, {}, {}, {"dpd": 5.0}, {"lifetime": Lifetime(600)}, {"shared_keys": (OTHER_KEY,)}, {"special": EXPOSED})
    )
    return config(end, **changes)


def config(end: int, **changes: object) -> IkeConfig:
    """One rule for both children, or one for each."""
    peer: Peer = peer_a(mirrored(NET), **changes) if end else peer_b(NET, **changes)
    other = replace(peer, name="other", children=(mirrored(ELSE) if end else ELSE,), dpd=peer.dpd + 1.0)
    return IkeConfig((peer, other))


def act(net: Desks, end: End, random: Random) -> None:
    spis = list(end.inbound)
    child = random.choice(("net", "else"))
    (peer, *_) = end.core.config.peers
    match random.randrange(12):
        case 0 | 1 | 2:
            net.want(end, child=child)
        case 3:
            net.do(end, lambda desk: desk.put_down({child}, "put down"))
        case 4:
            net.do(end, lambda desk: desk.put_down_peer(peer.name, "put down"))
        case 5:
            net.do(end, lambda desk: desk.rekey({child}))
        case 6:
            net.do(end, lambda desk: desk.rekey_peer(peer.name))
        case 7:
            net.reload(end, rules(net.ends.index(end), random))
        case 8 if spis:
            net.do(end, lambda desk: desk.hard_expired(random.choice(spis)))
        case 9 if spis:
            net.do(end, lambda desk: desk.lost(tuple(random.sample(spis, 1))))
        case 10 if spis:
            net.do(end, lambda desk: desk.inbound_used(random.choice(spis)))
        case _:
            net.do(end, lambda desk: desk.woke())


@pytest.mark.parametrize("seed", SEEDS)
def test_they_agree_in_the_end(seed: int) -> None:
    random = Random(f"desks {seed}")
    link = Link(loss=0.15, duplication=0.1, delay=(0.01, 0.5))
    net = Desks((A, config(0)), (B, config(1)), seed=seed, link=link)
    for _ in range(40):
        act(net, random.choice(net.ends), random)
        net.run(random.choice((0.01, 0.1, 1.0, 10.0, 60.0)))
    net.link = Link()
    for number, end in enumerate(net.ends):
        net.reload(end, config(number))
    net.run(400.0)
    for end in net.ends:
        for child in ("net", "else"):
            if not end.desk.up(child):
                net.want(end, child=child).run(100.0)
    for end, other in ((net.a, net.b), (net.b, net.a)):
        assert (end.desk.up("net"), end.desk.up("else")) == (True, True), end.told[-5:]
        assert {spi for spi, _ in end.outbound} <= set(other.inbound)
    for end in net.ends:
        net.do(end, lambda desk: desk.shutdown("the end"))
    net.run(400.0)
    for end in net.ends:
        assert (end.inbound, end.outbound, len(end.desk._parties), end.core.promised) == ({}, {}, 0, set())
        assert end.core.guard.half_open == 0
