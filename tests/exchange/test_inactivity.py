"""Child SAs that nothing goes by for so long end, by either version of IKE, and come back with a packet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import Child, IkeConfig, Lifetime
from tests.exchange.gateways import Pair, child_of_a
from tests.exchange.network import Node
from tests.exchange.two_versions import NEW, OLD, agree, pair_of, up

VERSIONS = {"IKEv2": NEW, "IKEv1": OLD}

by_either = pytest.mark.parametrize("version", list(VERSIONS))


def rested(version: str, idle: float | None = 60.0, *, of_b: float | None = None, **more: object) -> Pair:
    """A child that is up, and ends at gateway a after so long."""
    child = child_of_a(idle=idle, **more)
    pair = pair_of(VERSIONS[version], VERSIONS[version], child)
    reload(pair, pair.b, replace(pair.b.ike._core.config.peers[0].children[0], idle=of_b))
    assert up(pair, version)
    return pair


def reload(pair: Pair, node: Node, child: Child) -> None:
    """Another child in the place of the one there is."""
    config = node.ike._core.config
    (peer,) = config.peers
    pair.do(node, node.ike.reconfigure(IkeConfig(peers=(replace(peer, children=(child,)),)), pair.net.now))


def used(pair: Pair, node: Node) -> None:
    """What the data plane tells, of all there is."""
    pair.do(node, node.ike.pairs_used(tuple(node.inbound), pair.net.now))


def gone(pair: Pair) -> bool:
    return not (pair.a.inbound or pair.b.inbound or pair.a.outbound or pair.b.outbound)


def standing(node: Node) -> int:
    return sum(sa.stage == "established" for sa in node.ike.status())


@by_either
def test_what_nothing_goes_by_ends_and_is_told(version: str) -> None:
    pair = rested(version)
    pair.net.run(59.0)
    assert agree(pair, version)
    pair.net.run(10.0)
    assert gone(pair)
    (report,) = pair.a.events("child-idle")
    assert (report.level, report.fields["child"], report.fields["reason"]) == ("info", "net", "nothing went by it")
    assert len(pair.b.events("child-closed")) == 1
    assert pair.a.events("child-lost") == pair.a.events("child-closed") == []
    pair.net.run(1_000.0)
    assert gone(pair)  # nobody brings it back


@by_either
def test_packets_of_both_or_of_one_keep_it(version: str) -> None:
    pair = rested(version)
    net = pair.net
    net.exchange_packets(pair.a, pair.b, "net", 40.0, net.now + 400.0)
    net.run(400.0)
    assert (agree(pair, version), net.lost_packets) == (True, [])
    for _ in range(5):
        net.run(50.0)
        used(pair, pair.a)
    assert agree(pair, version)
    net.run(70.0)
    assert gone(pair)


@by_either
def test_that_the_peer_is_alive_is_no_use(version: str) -> None:
    """Dummies of its are authentic too."""
    pair = rested(version)
    for _ in range(10):
        pair.net.run(7.0)
        pair.do(pair.a, pair.a.ike.peer_alive(tuple(pair.a.inbound), pair.net.now))
    assert gone(pair)


@by_either
def test_a_rekey_is_no_use_and_of_its_successors_use_counts(version: str) -> None:
    pair = rested(version, 100.0)
    net, before = pair.net, pair.a.inbound_spis
    net.run(40.0)
    pair.do(pair.a, pair.a.ike.rekey("net", net.now))
    net.run(40.0)
    assert not before & pair.b.outbound_spis
    assert len(pair.b.outbound) == 1
    net.run(25.0)
    assert gone(pair)

    pair = rested(version, 100.0, lifetime=Lifetime(60.0))
    net = pair.net
    for _ in range(6):
        net.run(90.0)
        assert len(pair.a.outbound) == 1
        used(pair, pair.a)
    net.run(110.0)
    assert gone(pair)


@by_either
def test_use_of_what_is_replaced_counts_for_its_successor(version: str) -> None:
    pair = rested(version, 30.0)
    net = pair.net
    net.run(25.0)
    (before,) = pair.a.inbound
    pair.do(pair.a, pair.a.ike.rekey("net", net.now))
    assert net.run(5.0, until=lambda: len(pair.a.inbound) == 2)
    pair.do(pair.a, pair.a.ike.pairs_used((before,), net.now))
    net.run(25.0)
    assert len(pair.a.outbound) == len(pair.b.outbound) == 1
    net.run(15.0)
    assert gone(pair)


@by_either
def test_a_packet_brings_it_up_again(version: str) -> None:
    pair = rested(version)
    net = pair.net
    assert net.run(80.0, until=lambda: gone(pair))
    pair.do(pair.a, pair.a.ike.acquire("net", None, net.now))
    assert net.run(10.0, until=lambda: agree(pair, version))
    net.run(70.0)
    assert gone(pair)
    pair.do(pair.b, pair.b.ike.acquire("net", None, net.now))
    assert net.run(10.0, until=lambda: agree(pair, version))


@by_either
def test_nothing_is_sent_by_it_from_then_on_and_what_is_on_its_way_is_taken(version: str) -> None:
    """So no packet is lost, and one of ours waits for a new pair, which is made at once."""
    pair = rested(version)
    net, a = pair.net, pair.a
    assert net.run(80.0, until=lambda: not a.outbound)
    assert len(a.inbound) == 1
    pair.do(a, a.ike.acquire("net", None, net.now))
    assert net.run(1.0, until=lambda: len(a.outbound) == 1)
    net.run(10.0)
    assert agree(pair, version)


@by_either
def test_both_ends_may_find_it_idle_at_once(version: str) -> None:
    pair = rested(version, of_b=60.0)
    pair.net.run(1.0)
    for node in (pair.a, pair.b):
        used(pair, node)
    pair.net.run(80.0)
    assert gone(pair)
    assert len(pair.a.events("child-idle")) == len(pair.b.events("child-idle")) == 1
    assert pair.a.ike.counters["internal-error"] == pair.b.ike.counters["internal-error"] == 0


def test_by_ikev2_the_ike_sa_stays_and_its_peer_is_asked_whether_it_is_there() -> None:
    pair = rested("IKEv2")
    pair.net.run(2_000.0)
    assert gone(pair)
    assert (standing(pair.a), standing(pair.b)) == (1, 1)


@by_either
def test_what_a_reload_says_counts_for_successors_which_are_made_at_once(version: str) -> None:
    pair = rested(version, None)
    net = pair.net
    net.run(500.0)
    before = pair.a.inbound_spis
    child = child_of_a(idle=60.0)
    reload(pair, pair.a, child)
    net.run(50.0)
    assert not before & pair.b.outbound_spis
    used(pair, pair.a)
    net.run(50.0)
    assert len(pair.a.outbound) == len(pair.b.outbound) == 1
    reload(pair, pair.a, replace(child, idle=None))
    net.run(500.0)
    assert agree(pair, version)
    assert not any(sa.watched for sa in (*pair.a.inbound.values(), *pair.a.outbound.values()))
