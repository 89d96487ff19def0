"""Children that are wanted by IKEv1: at the start, for packets, by command, and again after a loss."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ike.config import Hosts, IkeConfig, Version
from ipsecd.ike.effects import GiveUp, Silent
from ipsecd.wire.selector import Selector
from tests.exchange import lan
from tests.exchange.gateways import IKE_CLASSIC, NET_A, NET_B, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link, Network
from tests.exchange.two_versions import OLD, agree, up

START = child_of_a(start=True)
THIRD = Selector.net("10.3.0.0/16")


def pair(*children: object, seed: int | str = 0, link: Link | None = None, **of_b: object) -> Pair:
    ours = children or (child_of_a(),)
    return Pair(
        seed,
        link,
        peer_b(*ours, versions=OLD, proposals=(IKE_CLASSIC,)),  # type: ignore[arg-type]  # children
        peer_a(*map(mirrored, ours), versions=OLD, proposals=(IKE_CLASSIC,), **of_b),  # type: ignore[arg-type]  # as there
    )


def packet(local: str, remote: str) -> tuple[Selector, Selector]:
    return Selector.net(local, 17, (4_000, 4_000)), Selector.net(remote, 17, (4_000, 4_000))


def test_what_is_to_be_up_from_the_start_comes_up_and_again_after_a_loss() -> None:
    net = pair(START)
    net.net.start()
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))
    net.do(net.b, net.b.ike.down_peer("a", net.net.now))
    assert net.net.run(5.0, until=lambda: not net.a.inbound and not net.b.inbound)
    assert net.net.run(60.0, until=lambda: agree(net, "IKEv1"))


def test_a_peer_that_was_away_is_called_until_it_is_there() -> None:
    net = pair(START)
    away = net.net.nodes.pop(B)
    net.net.start()
    net.net.run(300.0)
    assert len(net.a.events("ike-failed")) >= 2
    net.net.nodes[B] = away
    assert net.net.run(150.0, until=lambda: agree(net, "IKEv1"))


def test_a_peer_that_has_forgotten_everything_is_called_again() -> None:
    net = pair(START)
    net.net.start()
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))
    del net.net.nodes[B]
    net.b = net.net.add("b again", B, IkeConfig((peer_a(mirrored(START), versions=OLD, proposals=(IKE_CLASSIC,)),)))
    assert net.net.run(200.0, until=lambda: agree(net, "IKEv1"))


def test_a_peer_that_begins_anew_takes_the_place_of_what_it_had() -> None:
    net = pair(START)
    net.net.start()
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))
    del net.net.nodes[B]
    net.b = net.net.add("b again", B, IkeConfig((peer_a(mirrored(START), versions=OLD, proposals=(IKE_CLASSIC,)),)))
    net.do(net.b, net.b.ike.up("net", net.net.now))
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))


def test_packets_get_what_they_need() -> None:
    child = child_of_a(local=(NET_A, THIRD))
    net = pair(child)
    net.do(net.a, net.a.ike.acquire("net", packet("10.3.0.1/32", "10.2.0.1/32"), net.net.now))
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))
    (sa,) = net.a.inbound.values()
    assert (sa.local, sa.remote) == ((THIRD,), (NET_B,))
    net.do(net.a, net.a.ike.acquire("net", packet("10.1.0.1/32", "10.2.0.1/32"), net.net.now))
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1", children=2))
    sent = len(net.net.sent)
    net.do(net.a, net.a.ike.acquire("net", packet("10.1.0.1/32", "10.2.0.1/32"), net.net.now))
    assert len(net.net.sent) == sent


def test_what_is_put_down_stays_down_until_somebody_wants_it() -> None:
    net = pair(START)
    net.net.start()
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))
    net.do(net.a, net.a.ike.down("net", net.net.now))
    net.net.run(100.0)
    assert (net.a.inbound, net.b.inbound, net.a.ike.held("net")) == ({}, {}, True)
    net.do(net.a, net.a.ike.acquire("net", packet("10.1.0.1/32", "10.2.0.1/32"), net.net.now))
    assert net.a.gave_up[-1] == GiveUp("net", "it was put down by command")
    assert up(net, "IKEv1")


def test_a_child_put_down_on_its_way_up_stays_down() -> None:
    for after in range(12):
        net = pair(START, seed=after)
        net.net.start()
        net.net.run(after * 0.01)
        net.do(net.a, net.a.ike.down("net", net.net.now))
        net.net.run(30.0)
        assert (net.a.inbound, net.b.outbound) == ({}, {}), after


def test_a_gateway_gets_to_a_client_that_has_called_from_anywhere() -> None:
    net = pair(remotes=(), local=None)
    net.do(net.b, net.b.ike.acquire("net", packet("10.2.0.1/32", "10.1.0.1/32"), net.net.now))
    assert net.b.gave_up[-1] == GiveUp("net", "the peer's address isn't known; it has to call us")
    assert up(net, "IKEv1")
    net.do(net.b, net.b.ike.down("net", net.net.now))
    net.net.run(1.0)
    net.do(net.b, net.b.ike.up("net", net.net.now))
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))


def test_a_new_policy_through_the_engine_leaves_what_it_allows() -> None:
    net = pair(START)
    net.net.start()
    assert net.net.run(5.0, until=lambda: agree(net, "IKEv1"))
    spis = net.a.inbound_spis
    again = peer_b(replace(START, name="renamed"), versions=OLD, proposals=(IKE_CLASSIC,), dpd=9.0)
    net.do(net.a, net.a.ike.reconfigure(IkeConfig((again,)), net.net.now))
    net.net.run(60.0)
    assert (net.a.inbound_spis, agree(net, "IKEv1")) == (spis, True)
    net.do(net.a, net.a.ike.reconfigure(IkeConfig(()), net.net.now))
    net.net.run(1.0)
    assert (net.a.inbound, net.b.outbound) == ({}, {})


def test_a_silent_peer_is_reported_and_one_that_says_anything_is_not() -> None:
    child = child_of_a(fallback=3.0)
    for there in (True, False):
        net = pair(child, shared_keys=())
        if not there:
            del net.net.nodes[B]
        net.do(net.a, net.a.ike.acquire("net", packet("10.1.0.1/32", "10.2.0.1/32"), net.net.now))
        net.net.run(10.0)
        silent = [effect.heard for effect in net.a.effects if isinstance(effect, Silent)]
        assert silent == [there]  # who has said no isn't silent, and so is told


def test_hosts_find_each_other_by_packets() -> None:
    rules: dict[str, Hosts] = {
        name: lan.rule_at(address, versions=(Version.IKEV1,), proposals=(IKE_CLASSIC,))
        for name, address in zip("abc", (lan.A, lan.B, lan.C), strict=True)
    }
    net = lan.Lan(**rules)
    assert net.up(net.a, net.b)
    assert net.up(net.c, net.a)
    net.net.carry_out(net.a, net.a.ike.down("7", net.net.now))
    net.net.run(5.0)
    assert net.a.inbound == {}
    assert sorted(net.a.ike.made_after("7")) == ["lan/1@192.0.2.2", "lan/1@192.0.2.3"]


def test_many_hosts_are_called_and_no_more_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecd.limits.MAX_NEW_HOSTS_CALLED", 4)
    rule = lan.rule_at(lan.A, versions=(Version.IKEV1,), proposals=(IKE_CLASSIC,))
    net = Network("hosts")
    node = net.add("a", lan.A, IkeConfig(hosts=(rule,)))
    for last in range(20, 30):
        key = lan.known_by(lan.A, f"192.0.2.{last}")
        net.carry_out(node, node.ike.acquire(key, packet(f"{lan.A}/32", f"192.0.2.{last}/32"), net.now))
    assert sum(sa.stage == "connecting" for sa in node.ike.status()) == 4
    assert node.gave_up[-1].reason.startswith("4 hosts are being called already")
    net.run(200.0)
    assert node.ike.status() == []
    assert node.ike._core.wanted._wants == {}


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_network_all_that_is_to_be_up_is_up(seed: int) -> None:
    net = pair(START, child_of_a("else", local=(THIRD,), start=True), seed=seed, link=Link(loss=0.2, delay=(0.01, 0.3)))
    net.net.start()
    assert net.net.run(100.0, until=lambda: agree(net, "IKEv1", children=2))


def test_an_address_of_the_rule_is_called_after_another() -> None:
    elsewhere = ip_address("203.0.113.77")
    net = pair(START)
    config = IkeConfig((peer_b(START, versions=OLD, proposals=(IKE_CLASSIC,), remotes=(elsewhere, ip_address(B))),))
    net.do(net.a, net.a.ike.reconfigure(config, net.net.now))
    assert net.net.run(150.0, until=lambda: agree(net, "IKEv1"))
