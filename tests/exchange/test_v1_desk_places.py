"""IKEv1 with those who call from anywhere, with pairs of hosts, and with those who come in as users."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.ike.config import Endpoint, Hosts, IkeConfig, Peer
from ipsecd.ike.effects import Given, TakenBack
from ipsecd.ike.hosts import pair as pair_of
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.methods import Certified
from ipsecd.ike.v1.special import Special
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry_v1 import Payload
from ipsecd.wire.selector import Selector
from tests.exchange import lan
from tests.exchange.gateways import B, child_of_a, mirrored
from tests.exchange.network import Link
from tests.exchange.test_v1_desk import told
from tests.exchange.v1_desks import IKE_CBC, V1, Desks, End, Nat, peer_a, peer_b
from tests.exchange.v1_remote import POOL, Users, handing, user
from tests.unit.crypto.authority import NOW, ROOT, private

INSIDE_1, INSIDE_2, NAT = "10.0.0.1", "10.0.0.2", "203.0.113.7"
ANYWHERE = Selector.net("10.1.0.0/16")
CLIENT, GATE_ID = Identity.parse("clients.example"), Identity.parse("b.example")


def road(net: str, **changes: object) -> Peer:
    """A client's rule: 10.1.x.0/24 here, the gateway's network there. All clients have one identity and one key."""
    child = child_of_a(local=(Selector.net(net),))
    return peer_b(child, local=None, local_id=CLIENT, **changes)


def of_clients(**changes: object) -> Peer:
    """The gateway's rule for all of them."""
    child = mirrored(child_of_a(local=(ANYWHERE,)))
    return peer_a(child, remotes=(), remote_id=CLIENT, **changes)


def behind_nat(*, seed: int | str = 0, **of_gateway: object) -> Desks:
    """Two clients behind one NAT, and the gateway."""
    nat = Nat(ip_address(NAT), frozenset(map(ip_address, (INSIDE_1, INSIDE_2))))
    return Desks(
        (INSIDE_1, IkeConfig((road("10.1.1.0/24"),))),
        (INSIDE_2, IkeConfig((road("10.1.2.0/24"),))),
        (B, IkeConfig((of_clients(**of_gateway),))),
        seed=seed,
        nat=nat,
    )


def carries(gateway: End) -> dict[str, int]:
    """The remote sides of what it sends by, and the ports that packets go to."""
    return {str(sa.remote[0]): sa.path.remote.port for sa in gateway.outbound.values()}


# --- from anywhere ------------------------------------------------------------------------------------------------


def test_two_clients_behind_one_nat_with_one_identity_share_nothing() -> None:
    net = behind_nat()
    one, two, gateway = net.ends
    for client in (one, two):
        net.want(client).run(5.0)
    assert (one.desk.up("net"), two.desk.up("net"), gateway.established) == (True, True, 2)
    assert len(gateway.desk._parties) == 2
    assert len(set(carries(gateway).values())) == 2
    net.do(one, lambda desk: desk.put_down_peer("b", "enough")).run(5.0)
    assert set(carries(gateway)) == {"10.1.2.0/24"}
    assert gateway.established == 1
    net.want(one).run(5.0)  # whose first word is that it has nothing else
    assert set(carries(gateway)) == {"10.1.1.0/24", "10.1.2.0/24"}


def test_a_client_that_renews_stays_one_though_the_nat_gives_its_port_500_another() -> None:
    net = behind_nat()
    one, _, gateway = net.ends
    net.want(one).run(5.0)
    assert net.nat is not None
    del net.nat.ports[Endpoint(one.address, 500)]
    net.nat.ports[Endpoint(one.address, 500)] = 20_500
    net.do(one, lambda desk: desk.rekey_peer("b")).run(300.0)
    assert (len(gateway.desk._parties), gateway.established, len(gateway.events("ike-rekeyed"))) == (1, 1, 1)


def test_a_client_is_followed_to_another_port_and_is_the_same_one_there() -> None:
    net = behind_nat()
    one, _, gateway = net.ends
    net.want(one).run(5.0)
    assert net.nat is not None
    net.nat.ports[Endpoint(one.address, 4500)] = 24_500
    net.do(one, lambda desk: desk.rekey({"net"})).run(10.0)
    assert set(carries(gateway).values()) == {24_500}
    net.do(one, lambda desk: desk.rekey_peer("b")).run(300.0)
    assert (len(gateway.desk._parties), gateway.established) == (1, 1)


def test_packets_show_where_a_client_is_now() -> None:
    net = behind_nat()
    one, _, gateway = net.ends
    net.want(one).run(5.0)
    (sa,) = gateway.inbound.values()
    path = replace(sa.path, remote=Endpoint(ip_address(NAT), 31_000))
    net.do(gateway, lambda desk: desk.moved(sa.spi, path))
    (party,) = gateway.desk._parties
    assert party.place == (ip_address(NAT), 31_000)
    assert gateway.desk.status()[0].remote == f"{NAT}:31000"


def test_nobody_calls_a_client_whose_address_is_not_known_and_it_is_called_when_it_is_there() -> None:
    net = behind_nat()
    one, _, gateway = net.ends
    net.want(gateway).run(1.0)
    assert told(gateway, "child-failed") == "the peer's address isn't known; it has to call us"
    net.want(one).run(5.0)
    net.do(one, lambda desk: desk.put_down({"net"}, "enough")).run(1.0)
    packet = Selector.net("10.2.0.1/32"), Selector.net("10.1.1.9/32")
    net.want(gateway, packet).run(5.0)  # by the ISAKMP SA that stands; the client wants less than the rule has
    assert gateway.events("child-failed")[-1].fields["reason"] == "the peer says INVALID_ID_INFORMATION"


def test_from_where_nobody_may_call_nobody_is_answered() -> None:
    net = behind_nat(within=(Selector.net("198.18.0.0/15"),))
    one, _, gateway = net.ends
    net.want(one).run(100.0)
    assert (gateway.established, gateway.core.counters["no-rule-for-peer"] > 0) == (0, True)


def test_too_many_clients_of_one_rule_drive_out_the_one_that_does_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PATTERN", 2)
    places = [f"192.0.2.{number}" for number in (1, 2, 3)]
    nets = [f"10.1.{number}.0/24" for number in (1, 2, 3)]
    clients = [(place, IkeConfig((road(net),))) for place, net in zip(places, nets, strict=True)]
    net = Desks(*clients, (B, IkeConfig((of_clients(),))))
    gateway = net.ends[-1]
    net.want(net.ends[0]).run(5.0)
    net.want(net.ends[1]).run(5.0)
    net.do(net.ends[1], lambda desk: desk.put_down({"net"}, "idle")).run(1.0)
    net.want(net.ends[2]).run(5.0)
    assert set(carries(gateway)) == {nets[0], nets[2]}
    assert told(gateway, "ike-closed") == "the hosts of the rule have made too many others since"


# --- pairs of hosts -----------------------------------------------------------------------------------------------


def rule_at(address: str, **changes: object) -> Hosts:
    return lan.rule_at(address, **{"proposals": (IKE_CBC,), "versions": V1, **changes})


def hosts() -> Desks:
    return Desks(*((each, IkeConfig(hosts=(rule_at(each),))) for each in (lan.A, lan.B, lan.C)))


def want_host(net: Desks, end: End, remote: str) -> Desks:
    (rule,) = end.core.config.hosts
    peer = pair_of(rule, end.address, ip_address(remote))
    assert peer is not None
    return net.do(end, lambda desk: desk.want(peer, peer.children[0], None, ip_address(remote)))


def test_each_pair_of_hosts_has_its_own() -> None:
    net = hosts()
    want_host(net, net.ends[0], lan.B).run(5.0)
    want_host(net, net.ends[0], lan.C).run(5.0)
    want_host(net, net.ends[2], lan.B).run(5.0)
    keys = sorted(sa.child for sa in net.ends[0].outbound.values())
    assert keys == [lan.known_by(lan.A, lan.B), lan.known_by(lan.A, lan.C)]
    assert [end.established for end in net.ends] == [2, 2, 2]
    assert all(end.desk.up(key) for end, key in ((net.ends[0], keys[0]), (net.ends[0], keys[1])))
    status = net.ends[0].desk.status()
    assert {each.pattern for each in status} == {"lan"}
    assert {each.peer for each in status} == {"lan@192.0.2.2", "lan@192.0.2.3"}


def test_hosts_with_one_identity_are_told_apart_by_address() -> None:
    farm = Identity.parse("farm.example")
    net = Desks(
        (lan.A, IkeConfig(hosts=(rule_at(lan.A, remote_id=farm),))),
        (lan.B, IkeConfig(hosts=(rule_at(lan.B, local_id=farm),))),
        (lan.C, IkeConfig(hosts=(rule_at(lan.C, local_id=farm),))),
    )
    want_host(net, net.ends[1], lan.A).run(5.0)
    want_host(net, net.ends[2], lan.A).run(5.0)
    assert len(net.ends[0].desk._parties) == 2
    assert [end.established for end in net.ends] == [2, 1, 1]
    remotes = {str(sa.remote[0]) for sa in net.ends[0].outbound.values()}
    assert remotes == {lan.B, lan.C}


def test_a_pattern_is_put_down_rekeyed_and_reloaded_as_one() -> None:
    net = hosts()
    a = net.ends[0]
    want_host(net, a, lan.B).run(5.0)
    want_host(net, a, lan.C).run(5.0)
    net.reload(a, IkeConfig(hosts=(rule_at(lan.A, dpd=7.0),)))
    assert a.established == 2
    net.do(a, lambda desk: desk.rekey({"7"})).run(5.0)
    assert len(a.events("child-rekeyed")) == 2
    net.do(a, lambda desk: desk.put_down({"7"}, "enough"))
    assert (a.outbound, a.established) == ({}, 2)
    net.do(a, lambda desk: desk.put_down_peer("lan", "enough"))
    assert a.established == 0
    want_host(net, a, lan.B).run(5.0)
    net.reload(a, IkeConfig(hosts=(rule_at(lan.A, proposals=(replace(IKE_CBC, groups=()),)),)))
    assert (a.established, a.inbound) == (0, {})


# --- users and addresses ------------------------------------------------------------------------------------------


def remote_access(
    client: Client, gateway: Gateway, *, link: Link | None = None, seed: int | str = 0, **of_client: object
) -> Desks:
    """A client that comes in, 10.3.0.0/24 being what it may have."""
    child = child_of_a(local=(POOL,))
    return Desks(
        (lan.A, IkeConfig((peer_b(child, local=None, special=Special(access=client), **of_client),))),
        (B, IkeConfig((peer_a(mirrored(child), remotes=(), special=Special(access=gateway)),))),
        link=link,
        seed=seed,
    )


def test_a_user_comes_in_and_has_sas_for_the_address_that_it_is_given() -> None:
    net = remote_access(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()))
    net.want(net.a).run(5.0)
    assert net.agree(1)
    (sa,) = net.b.outbound.values()
    assert [*map(str, sa.remote)] == ["10.3.0.1"]
    (given,) = [effect for effect in net.a.effects if isinstance(effect, Given)]
    assert (given.peer, [*map(str, given.addresses)], [*map(str, given.dns)]) == ("b", ["10.3.0.1"], ["10.2.0.1"])
    assert [end.desk.status()[0].given for end in net.ends] == [("10.3.0.1",), ("10.3.0.1",)]
    assert net.b.desk.status()[0].user == "alice"
    assert net.b.events("ike-established")[0].fields["user"] == "alice"
    net.do(net.a, lambda desk: desk.put_down_peer("b", "enough"))
    assert [effect for effect in net.a.effects if isinstance(effect, TakenBack)] == [TakenBack("b")]


def test_what_is_lent_to_us_stays_ours_when_the_rule_is_called_otherwise() -> None:
    net = remote_access(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()))
    net.want(net.a).run(5.0)
    (peer,) = net.a.core.config.peers
    net.reload(net.a, IkeConfig((replace(peer, name="gateway"),)))
    net.do(net.a, lambda desk: desk.put_down_peer("gateway", "enough"))
    told = [each for each in net.a.effects if isinstance(each, Given | TakenBack)]
    assert [(type(each), each.peer) for each in told] == [
        (Given, "b"),
        (Given, "gateway"),
        (TakenBack, "b"),
        (TakenBack, "gateway"),
    ]
    assert told[1] == replace(told[0], peer="gateway")


def test_what_was_made_for_an_address_that_we_have_no_more_ends_and_is_had_for_the_new_one() -> None:
    first, second = handing(), handing("10.3.0.128/25")
    net = remote_access(Client(user(), (4,)), Gateway(Gate(Users().judge), first))
    net.want(net.a).run(5.0)
    net.alter = lambda end, data: data if end is net.a else None  # the gateway has forgotten it, and can't say so
    (peer,) = net.b.core.config.peers
    net.reload(net.b, IkeConfig((replace(peer, special=Special(access=Gateway(Gate(Users().judge), second))),))).run(
        0.5
    )
    net.alter = lambda _, data: data
    net.do(net.a, lambda desk: desk.rekey_peer("b")).run(10.0)
    assert told(net.a, "child-closed") == "the gateway has given us another address"
    net.want(net.a).run(5.0)
    assert net.agree(1)
    assert [str(sa.local[0]) for sa in net.a.outbound.values()] == ["10.3.0.129"]


def test_an_address_that_is_ours_a_moment_later_is_waited_for() -> None:
    before = child_of_a("before", local=(Selector.net("192.0.2.1/32"),))
    after = child_of_a("after", local=(Selector.net("192.0.2.1/32"), Selector.net("10.3.0.1/32")))
    for in_time in (True, False):
        net = remote_access(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()))
        (peer,) = net.a.core.config.peers
        net.reload(net.a, IkeConfig((replace(peer, children=(before,)),)))
        net.want(net.a, child="before").run(5.0)
        assert (net.a.told, net.a.established) == ([], 1)
        if in_time:
            net.reload(net.a, IkeConfig((replace(peer, children=(after,)),)))
            net.want(net.a, child="after").run(5.0)
            assert net.agree(1)
            packet = Selector.net("192.0.2.1/32"), Selector.net("10.2.0.1/32")
            net.want(net.a, packet, child="after")
            net.want(net.a, packet, child="after").run(1.0)
            assert "SAs for 10.3.0.1 here" in told(net.a, "child-failed")
        else:
            net.run(10.0)
            reason = "the gateway has given us 10.3.0.1, which isn't in 192.0.2.1, the near side of the rule"
            assert told(net.a, "child-failed") == reason
            assert net.a.told == [("failed", f"before: {reason}")]


def test_a_packet_that_was_sent_before_there_was_an_address_brings_the_sas_up_for_those_behind_it() -> None:
    """Its sender has chosen another address of ours."""
    both = child_of_a(local=(Selector.net("192.0.2.1/32"), Selector.net("10.3.0.1/32")))
    net = remote_access(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()))
    (peer,) = net.a.core.config.peers
    net.reload(net.a, IkeConfig((replace(peer, children=(both,)),)))
    net.want(net.a, (Selector.net("192.0.2.1/32"), Selector.net("10.2.0.1/32"))).run(5.0)
    assert net.agree(1)
    assert net.a.events("child-failed") == []
    assert [*map(str, next(iter(net.a.outbound.values())).local)] == ["10.3.0.1"]


def test_an_address_that_the_gateway_sets_is_had_as_well() -> None:
    net = remote_access(Client(user(), pushed=True), Gateway(Gate(Users().judge), handing(pushes=True)))
    net.want(net.a).run(5.0)
    assert net.agree(1)


def test_a_gateway_reaches_each_client_by_the_address_that_it_has_given() -> None:
    gateway = Gateway(Gate(Users().judge), handing())
    child = child_of_a(local=(POOL,))
    clients = [
        (place, IkeConfig((peer_b(child, local=None, special=Special(access=Client(user(name), (4,)))),)))
        for place, name in ((lan.A, "alice"), (lan.B, "bob"))
    ]
    of_gateway = peer_a(mirrored(child), remotes=(), special=Special(access=gateway))
    net = Desks(*clients, (B, IkeConfig((of_gateway,))))
    alice, bob, gate = net.ends
    net.want(alice).run(5.0)
    net.want(bob).run(5.0)
    assert {str(sa.remote[0]) for sa in gate.outbound.values()} == {"10.3.0.1", "10.3.0.2"}
    net.do(gate, lambda desk: desk.put_down({"net"}, "enough")).run(1.0)
    net.want(gate, (Selector.net("10.2.0.1/32"), Selector.net("10.3.0.2/32"))).run(5.0)
    assert {str(sa.remote[0]) for sa in gate.outbound.values()} == {"10.3.0.2"}
    assert (alice.desk.up("net"), bob.desk.up("net")) == (False, True)
    net.want(gate, (Selector.net("10.2.0.1/32"), Selector.net("10.3.0.77/32")))
    assert gate.told[-1] == ("failed", "net: nobody who has called is at 10.3.0.77")


def test_a_wrong_password_is_told_and_nothing_comes_of_it() -> None:
    net = remote_access(Client(user("alice", b"no"), (4,)), Gateway(Gate(Users().judge), handing()))
    net.want(net.a).run(30.0)
    assert (net.a.inbound, net.b.inbound, net.a.established, net.b.established) == ({}, {}, 0, 0)
    assert told(net.a, "auth-failed") == "the gateway doesn't let user 'alice' in"
    assert told(net.b, "auth-failed") == "there is no user 'alice' with this password"
    assert net.a.told == [("failed", "net: the gateway doesn't let user 'alice' in")]


def test_a_gateway_that_asks_nobody_is_nothing_for_a_client_with_a_user() -> None:
    net = remote_access(Client(user()), Gateway())
    net.want(net.a).run(100.0)
    assert net.a.established == 0
    assert "no common proposal" in told(net.a, "ike-failed")


def test_users_come_in_though_messages_are_lost() -> None:
    up = 0
    for seed in range(50):
        link = Link(loss=0.2, duplication=0.1, delay=(0.01, 0.3))
        net = remote_access(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()), link=link, seed=seed)
        net.want(net.a)
        up += net.run(60.0, until=lambda net=net: net.agree(1))  # type: ignore[misc]  # of this round
    assert up >= 48


# --- certificates -------------------------------------------------------------------------------------------------


def certified(us: str, **more: object) -> Special:
    side = "i" if us == "a.example" else "r"
    trust = RawChain((ROOT.certificate,), lambda: NOW)
    credentials = Certified((ROOT.end(side, us),), private(side), trust)
    return Special(shared_key=False, certified=credentials, **more)  # type: ignore[arg-type]  # its fields


@pytest.mark.parametrize("aggressive", [False, True])
def test_certificates_prove_both_ends(aggressive: bool) -> None:
    accepted = {"i_accept_names_in_clear": aggressive}
    net = Desks(
        (lan.A, IkeConfig((peer_b(special=certified("a.example", **accepted), shared_keys=()),))),
        (B, IkeConfig((peer_a(special=certified("b.example", **accepted), shared_keys=()),))),
    )
    net.want(net.a).run(5.0)
    assert net.agree(1)
    (established,) = net.b.events("ike-established")
    assert (established.fields["method"], established.fields["exchange"]) == (
        "RSA_SIGNATURE",
        "aggressive" if aggressive else "main",
    )


def test_long_chains_come_in_fragments() -> None:
    net = Desks(
        (lan.A, IkeConfig((peer_b(special=certified("a.example"), shared_keys=()),))),
        (B, IkeConfig((peer_a(special=certified("b.example"), shared_keys=()),))),
    )
    for end in net.ends:
        (peer,) = end.core.config.peers
        assert peer.special is not None
        assert peer.special.certified is not None
        long = replace(peer.special.certified, chain=peer.special.certified.chain * 3)
        special = replace(peer.special, certified=long)
        net.reload(end, IkeConfig((replace(peer, special=special),)))
    net.want(net.a).run(5.0)
    assert net.agree(1)
    assert all(any(ikev1.decode(data).first == Payload.FRAGMENT for data in end.sent) for end in net.ends)


def test_a_key_or_a_certificate_may_do_and_which_goes_first_can_be_said() -> None:
    both = replace(certified("a.example"), shared_key=True, certified_first=True)
    signs = peer_a(special=certified("b.example"), shared_keys=())
    for of_b, method in ((peer_a(), "PSK"), (signs, "RSA_SIGNATURE")):
        net = Desks((lan.A, IkeConfig((peer_b(special=both),))), (B, IkeConfig((of_b,))))
        net.want(net.a).run(5.0)
        assert net.agree(1)
        assert net.a.events("ike-established")[0].fields["method"] == method


def test_many_rules_with_certificates_may_be_meant_from_anywhere() -> None:
    special = certified("b.example")
    others = tuple(
        peer_a(
            mirrored(child_of_a(f"c{number}", local=(Selector.net(f"10.{number}.0.0/16"),))),
            name=f"r{number}",
            remotes=(),
            remote_id=Identity.parse(f"r{number}.example"),
            special=special,
            shared_keys=(),
        )
        for number in range(3, 60)
    )
    mine = peer_a(remotes=(), special=special, shared_keys=())
    net = Desks(
        (lan.A, IkeConfig((peer_b(special=certified("a.example"), shared_keys=()),))), (B, IkeConfig((*others, mine)))
    )
    net.want(net.a).run(5.0)
    assert net.agree(1)


def test_a_client_without_a_credential_comes_in_as_a_user_where_the_gateway_signs() -> None:
    trust = RawChain((ROOT.certificate,), lambda: NOW)
    of_gateway = certified("b.example", hybrid=True, access=Gateway(Gate(Users().judge), handing()))
    of_client = Special(shared_key=False, hybrid=True, trust=trust, access=Client(user(), (4,)))
    child = child_of_a(local=(POOL,))
    net = Desks(
        (lan.A, IkeConfig((peer_b(child, local=None, special=of_client, shared_keys=()),))),
        (B, IkeConfig((peer_a(mirrored(child), remotes=(), special=of_gateway, shared_keys=()),))),
    )
    net.want(net.a).run(5.0)
    assert net.agree(1)
    assert net.b.desk.status()[0].user == "alice"
