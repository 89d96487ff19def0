"""Transport mode between two hosts: asked for, granted, declined, kept, and through a NAT (RFC 7296 sections 1.3.1 and
2.23.1). What is installed is what both ends have agreed upon."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import Hosts, IkeConfig, Path
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.identity import Identity
from ipsecd.wire.payloads import AnyPayload, Notify, TsI, TsR
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.answerer import Answerer
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, B, Pair, peer_b
from tests.exchange.lan import A as HOST_A
from tests.exchange.lan import B as HOST_B
from tests.exchange.lan import C as HOST_C
from tests.exchange.lan import Lan, child_at, known_by, pattern
from tests.exchange.natbox import NatBox
from tests.exchange.network import Link, Node, endpoint
from tests.exchange.stranger import Stranger, notified, up_with_b
from tests.exchange.transcript import Tap

ASKED = Notify(NotifyType.USE_TRANSPORT_MODE)
IN_TRANSPORT = Form(transport=True)
OUTSIDE = "203.0.113.1"
ROAMER = Identity.parse("roamer.example")


def rule(*addresses: str, remote: str = "192.0.2.0/24", **changes: object) -> Hosts:
    return pattern(child_at(*addresses, remote=remote, transport=True), **changes)


def lan(link: Link | None = None) -> Lan:
    return Lan(link, a=rule(HOST_A), b=rule(HOST_B), c=rule(HOST_C))


def forms(*nodes: Node) -> set[Form]:
    return {sa.form for node in nodes for sa in (*node.inbound.values(), *node.outbound.values())}


def modes(*nodes: Node) -> list[str]:
    return [child.mode for node in nodes for sa in node.ike.status() for child in sa.children]


def selectors(node: Node) -> list[tuple[str, str]]:
    return [
        (" ".join(map(str, sa.local)), " ".join(map(str, sa.remote)))
        for sa in (*node.inbound.values(), *node.outbound.values())
    ]


# --- two hosts -------------------------------------------------------------------------------------------------------


def test_two_hosts_that_both_want_it_have_transport_mode() -> None:
    hosts = lan()
    tap = Tap(hosts.net)
    assert hosts.up(hosts.a, hosts.b)
    assert forms(hosts.a, hosts.b) == {IN_TRANSPORT}
    assert modes(hosts.a, hosts.b) == ["transport", "transport"]
    assert [each.fields["sa_mode"] for each in hosts.a.events("child-established")] == ["transport"]
    assert tap.lines()[2:] == [
        "a -> IKE_AUTH 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, N(USE_TRANSPORT_MODE), SA, TSi, TSr}",
        "b <- IKE_AUTH 1 {IDr, AUTH, N(USE_TRANSPORT_MODE), SA, TSi, TSr}",
    ]


@pytest.mark.parametrize("declines", ["a", "b"])
def test_a_host_that_doesnt_want_it_gets_tunnel_mode_between_the_two(declines: str) -> None:
    hosts = Lan(
        **(
            {"a": rule(HOST_A), "b": rule(HOST_B)}
            | {declines: pattern(child_at(HOST_A if declines == "a" else HOST_B))}
        )
    )
    assert hosts.up(hosts.a, hosts.b)
    assert forms(hosts.a, hosts.b) == {TUNNEL}
    assert modes(hosts.a, hosts.b) == ["tunnel", "tunnel"]
    assert set(selectors(hosts.a)) == {(HOST_A, HOST_B)}


@pytest.mark.parametrize("rekeys", ["a", "b"])
def test_a_rekey_keeps_the_mode_whoever_asks(rekeys: str) -> None:
    hosts = lan()
    assert hosts.up(hosts.a, hosts.b)
    before = hosts.a.inbound_spis
    node, other = (hosts.a, hosts.b) if rekeys == "a" else (hosts.b, hosts.a)
    hosts.net.carry_out(node, node.ike.rekey(known_by(node.address, other.address), hosts.net.now))
    hosts.net.run(60)
    assert hosts.have(hosts.a, hosts.b)
    assert not before & hosts.a.inbound_spis
    assert forms(hosts.a, hosts.b) == {IN_TRANSPORT}


def test_a_rekey_keeps_tunnel_mode_where_that_is_what_there_is() -> None:
    hosts = Lan(a=rule(HOST_A), b=pattern(child_at(HOST_B)))
    assert hosts.up(hosts.a, hosts.b)
    tap = Tap(hosts.net)
    hosts.net.carry_out(hosts.a, hosts.a.ike.rekey(known_by(HOST_A, HOST_B), hosts.net.now))
    hosts.net.run(60)
    assert tap.lines()[0] == "a -> CREATE_CHILD_SA 2 {N(REKEY_SA), SA, N, TSi, TSr}"
    assert forms(hosts.a, hosts.b) == {TUNNEL}


def test_one_more_child_asks_for_it_too() -> None:
    tcp = replace(child_at(HOST_A, transport=True), id="8", local=(Selector.net(HOST_A, 6),))
    tcp = replace(tcp, remote=(Selector.net("192.0.2.0/24", 6),))
    there = replace(tcp, local=(Selector.net(HOST_B, 6),))
    hosts = Lan(a=pattern(child_at(HOST_A, transport=True), tcp), b=pattern(child_at(HOST_B, transport=True), there))
    assert hosts.up(hosts.a, hosts.b)
    tap = Tap(hosts.net)
    hosts.packet(hosts.a, HOST_B, protocol=6, child="8")
    hosts.net.run(5)
    assert tap.lines() == [
        "a -> CREATE_CHILD_SA 2 {N(USE_TRANSPORT_MODE), SA, N, TSi, TSr}",
        "b <- CREATE_CHILD_SA 2 {N(USE_TRANSPORT_MODE), SA, N, TSi, TSr}",
    ]
    assert len(hosts.a.inbound) == 2
    assert forms(hosts.a, hosts.b) == {IN_TRANSPORT}


@pytest.mark.parametrize("seed", range(10))
def test_both_ends_agree_upon_the_mode_whatever_the_network_loses_and_doubles(seed: int) -> None:
    hosts = lan(Link(loss=0.2, duplication=0.3, delay=(0.01, 0.4)))
    hosts.net.random.seed(f"transport {seed}")
    assert hosts.up(hosts.a, hosts.b)
    hosts.net.carry_out(hosts.b, hosts.b.ike.rekey(known_by(HOST_B, HOST_A), hosts.net.now))
    hosts.net.carry_out(hosts.a, hosts.a.ike.rekey(known_by(HOST_A, HOST_B), hosts.net.now))
    hosts.net.run(120)
    assert hosts.a.inbound_spis == hosts.b.outbound_spis != set()
    assert forms(hosts.a, hosts.b) == {IN_TRANSPORT}


# --- who may not have it ---------------------------------------------------------------------------------------------


def test_whoever_asks_for_it_where_a_rule_has_a_tunnel_gets_tunnel_mode() -> None:
    stranger = up_with_b()
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, ASKED, *more_payloads(stranger))
    assert answer is not None
    assert notified(answer) == []
    assert [type(each).__name__ for each in answer] == ["Sa", "Nonce", "TsI", "TsR"]
    assert [effect.form for effect in stranger.effects if hasattr(effect, "form")] == [TUNNEL, TUNNEL]


def more_payloads(stranger: Stranger) -> tuple[AnyPayload, ...]:
    offer, ts_i, ts_r = stranger.child_payloads()
    return offer, stranger.sa_init_payloads()[2], ts_i, ts_r


def test_a_mode_that_we_havent_asked_for_isnt_taken_and_the_peers_half_is_deleted() -> None:
    answerer = Answerer(Ike(IkeConfig((peer_b(),)), SeededEntropy("a")), KEY.key.reveal())
    answerer.take(answerer.ike.up("net", answerer.now))
    answerer.answer_init()
    answerer.answer_auth(lambda payloads: (*payloads, ASKED))
    assert not [effect for effect in answerer.effects if hasattr(effect, "form")]
    assert answerer.ike.counters["mode-unasked"] == 1
    assert answerer.exchanges()[-1] == Exchange.INFORMATIONAL
    (delete,) = answerer.read(answerer.asked[-1])
    assert type(delete).__name__ == "Delete"


def test_selectors_of_more_than_the_two_hosts_have_tunnel_mode() -> None:
    """Nobody could put that into transport mode."""
    pair = Pair(of_a=peer_b(children=(replace(peer_b().children[0], transport=True),)))
    tap = Tap(pair.net)
    assert pair.up()
    assert not [line for line in tap.lines() if "TRANSPORT" in line]
    assert forms(pair.a, pair.b) == {TUNNEL}


# --- a NAT -----------------------------------------------------------------------------------------------------------


def roaming() -> Lan:
    """Host a is behind a NAT and known by its name."""
    hosts = Lan(
        a=rule(HOST_A, local_id=ROAMER),
        b=rule(HOST_B, remote=f"{OUTSIDE}/32", remote_id=ROAMER),
        c=rule(HOST_C, local_id=ROAMER),
    )
    hosts.net.hook = NatBox(HOST_A, OUTSIDE)
    return hosts


def original(source: str, destination: str) -> Form:
    return Form(transport=True, original=(ip_address(source), ip_address(destination)))


def test_through_a_nat_each_end_has_the_addresses_that_it_sees_and_keeps_those_of_the_other() -> None:
    hosts = roaming()
    hosts.packet(hosts.a, HOST_B)
    hosts.net.run(5)
    assert set(selectors(hosts.a)) == {(HOST_A, HOST_B)}
    assert set(selectors(hosts.b)) == {(HOST_B, OUTSIDE)}
    assert forms(hosts.a) == {original(HOST_B, OUTSIDE)}
    assert forms(hosts.b) == {original(HOST_A, HOST_B)}
    assert hosts.a.inbound_spis == hosts.b.outbound_spis


def test_a_nat_in_front_of_who_is_called_is_no_other_matter() -> None:
    hosts = Lan(
        a=rule(HOST_A, remote=f"{OUTSIDE}/32", remote_id=ROAMER),
        b=rule(HOST_B, local_id=ROAMER),
    )
    box = NatBox(HOST_B, OUTSIDE)
    box.ports |= {500: 500, 4500: 4500}
    hosts.net.hook = box
    hosts.packet(hosts.a, OUTSIDE)
    hosts.net.run(5)
    assert set(selectors(hosts.a)) == {(HOST_A, OUTSIDE)}
    assert set(selectors(hosts.b)) == {(HOST_B, HOST_A)}
    assert forms(hosts.a) == {original(HOST_B, HOST_A)}
    assert forms(hosts.b) == {original(HOST_A, OUTSIDE)}


@pytest.mark.parametrize("rekeys", ["a", "b"])
def test_a_rekey_through_a_nat_keeps_mode_selectors_and_addresses(rekeys: str) -> None:
    hosts = roaming()
    hosts.packet(hosts.a, HOST_B)
    hosts.net.run(5)
    before = hosts.a.inbound_spis
    node, key = (hosts.a, known_by(HOST_A, HOST_B)) if rekeys == "a" else (hosts.b, known_by(HOST_B, OUTSIDE))
    hosts.net.carry_out(node, node.ike.rekey(key, hosts.net.now))
    hosts.net.run(60)
    assert hosts.a.inbound_spis == hosts.b.outbound_spis != before
    assert set(selectors(hosts.b)) == {(HOST_B, OUTSIDE)}
    assert forms(hosts.a) == {original(HOST_B, OUTSIDE)}
    assert forms(hosts.b) == {original(HOST_A, HOST_B)}


def test_a_host_whose_address_changes_under_way_gets_its_sas_anew() -> None:
    hosts = roaming()
    hosts.packet(hosts.a, HOST_B)
    hosts.net.run(5)
    (spi,) = hosts.b.inbound
    moved = Path(endpoint(HOST_B, 4500), endpoint("203.0.113.9", 40_001), natt=True)
    hosts.net.carry_out(hosts.b, hosts.b.ike.peer_moved(spi, moved, hosts.net.now))
    assert not hosts.b.outbound
    assert hosts.b.moves[-1].path == moved


# --- several hosts behind one NAT ------------------------------------------------------------------------------------


def server() -> Ike:
    config = IkeConfig(hosts=(rule(B, remote=f"{OUTSIDE}/32", remote_id=ROAMER),))
    return Ike(config, SeededEntropy("server"))


def private(ike: Ike, port: int, *, protocol: int = 0) -> tuple[Stranger, tuple[AnyPayload, ...]]:
    """A host with the address 10.0.0.5 in its own network, behind the port that the NAT gives it."""
    stranger = Stranger(ike, B, OUTSIDE, now=1_000.0 + port, seed=port)
    assert stranger.sa_init() is not None
    stranger.path = replace(stranger.path, remote=endpoint(OUTSIDE, port))
    who = stranger.auth_payloads(KEY.key.reveal(), "roamer.example", B)
    ends = (TsI((Selector.net("10.0.0.5", protocol),)), TsR((Selector.net(B, protocol),)))
    alone = Notify(NotifyType.INITIAL_CONTACT)  # what any host says that knows of no other IKE SA
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *who[:4], alone, ASKED, *ends)
    assert answer is not None
    return stranger, answer


def test_of_two_hosts_with_one_private_address_behind_one_nat_the_second_doesnt_get_what_the_first_has() -> None:
    ike = server()
    first, granted = private(ike, 40_001)
    assert notified(granted) == [NotifyType.USE_TRANSPORT_MODE]
    installed = [effect for effect in first.effects if hasattr(effect, "form")]
    assert [effect.form for effect in installed] == [original("10.0.0.5", B)] * 2
    second, refused = private(ike, 40_002)
    assert notified(refused) == [NotifyType.TS_UNACCEPTABLE]
    assert not [effect for effect in second.effects if hasattr(effect, "form")]
    assert [len(sa.children) for sa in ike.status()] == [1, 0]  # though the second has said that it's alone


def test_a_host_that_comes_again_by_the_same_port_takes_its_own_place() -> None:
    ike = server()
    private(ike, 40_001)
    again = Stranger(ike, B, OUTSIDE, now=50_000.0, seed=7)
    assert again.sa_init() is not None
    again.path = replace(again.path, remote=endpoint(OUTSIDE, 40_001))
    who = again.auth_payloads(KEY.key.reveal(), "roamer.example", B)
    ends = (TsI((Selector.net("10.0.0.5"),)), TsR((Selector.net(B),)))
    answer = again.ask(Exchange.IKE_AUTH, 1, *who[:4], Notify(NotifyType.INITIAL_CONTACT), ASKED, *ends)
    assert notified(answer) == [NotifyType.USE_TRANSPORT_MODE]
    assert [len(sa.children) for sa in ike.status()] == [1]


def test_two_hosts_behind_one_nat_have_sas_for_what_tells_them_apart() -> None:
    ike = server()
    for port, protocol in ((40_001, 6), (40_002, 17)):
        _, granted = private(ike, port, protocol=protocol)
        assert notified(granted) == [NotifyType.USE_TRANSPORT_MODE]


def test_what_a_host_has_left_behind_is_in_nobodys_way_when_it_is_dead() -> None:
    ike = server()
    private(ike, 40_001)
    while ike.status():
        due = ike.deadline()
        assert due is not None
        ike.timer(due)
    _, granted = private(ike, 41_000)
    assert notified(granted) == [NotifyType.USE_TRANSPORT_MODE]


def test_the_second_doesnt_get_it_by_tunnel_mode_either() -> None:
    ike = server()
    private(ike, 40_001)
    second = Stranger(ike, B, OUTSIDE, now=50_000.0, seed=40_002)
    assert second.sa_init() is not None
    second.path = replace(second.path, remote=endpoint(OUTSIDE, 40_002))
    who = second.auth_payloads(KEY.key.reveal(), "roamer.example", B)
    ends = (TsI((Selector.net(OUTSIDE),)), TsR((Selector.net(B),)))
    refused = second.ask(Exchange.IKE_AUTH, 1, *who[:4], *ends)
    assert notified(refused) == [NotifyType.TS_UNACCEPTABLE]
    assert [len(sa.children) for sa in ike.status()] == [1, 0]
