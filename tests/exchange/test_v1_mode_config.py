"""Addresses for clients of IKEv1, asked for or set, in virtual time (draft-dukes-ike-mode-cfg-02)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from ipsecd.ike.address_pool import AddressPool
from ipsecd.ike.v1.access import Client, Gateway, Handing
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.quick_terms import Ends
from ipsecd.wire.mode_config import NetworkSettings
from ipsecd.wire.registry_v1 import OakleyAuth
from ipsecd.wire.selector import Selector
from tests.exchange.network import Link
from tests.exchange.phase_1 import described
from tests.exchange.phase_2 import RIGHT, mirrored, terms
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_remote import DNS, INSIDE, POOL, Users, call, ends_of, handing, remote, user, want_host

PULLED, PUSHED = Client(user(), (4,)), Client(user(), pushed=True)
BOTH_WAYS = pytest.mark.parametrize("pushed", [False, True])


def configured(*, pushed: bool = False, gives: Handing | None = None, **values: object) -> Gateways:
    gives = gives or handing(pushes=pushed)
    return remote(PUSHED if pushed else PULLED, Gateway(Gate(Users().judge), gives), **values)  # type: ignore[arg-type]  # as there


def pool_of(net: Gateways) -> AddressPool:
    access = net.r.settings.access
    assert isinstance(access, Gateway)
    assert access.handing is not None
    return access.handing.pools[0]


def sane(net: Gateways) -> None:
    for end in (net.i, net.r):
        assert end.core.counters["internal-error"] == 0, end.effects[-1]


@BOTH_WAYS
def test_a_client_gets_an_address_and_what_goes_with_it(pushed: bool) -> None:
    net = configured(pushed=pushed)
    given: list[NetworkSettings] = []
    net.i.configured = lambda _, settings: given.append(settings)  # type: ignore[method-assign]  # of this test
    call(net).run(1.0)
    assert given == [NetworkSettings((ip_address("10.3.0.1"),), (DNS,), (), (INSIDE,))]
    assert net.i.events == ["established"]
    assert net.r.events == ["configured: 10.3.0.1", "established"]
    assert described(net.i.sent)[3:] == ["TRANSACTION sealed"] * 3
    assert described(net.r.sent)[3:] == ["TRANSACTION sealed"] * 3


@BOTH_WAYS
def test_a_client_has_sas_for_its_address_alone(pushed: bool) -> None:
    net = want_host(call(configured(pushed=pushed)).run(1.0), "10.3.0.1").run(3.0)
    assert net.agree(1)
    want_host(net, "10.3.0.2").run(5.0)
    assert net.r.core.counters["no-such-traffic"] == 1
    assert net.i.events[-1] == "failed: the peer says INVALID_ID_INFORMATION"
    assert net.agree(1)
    net.act(lambda: net.i.all.want(net.i.settings.terms[0], Ends(POOL, RIGHT))).run(8.0)
    assert net.r.core.counters["no-such-traffic"] == 2
    net.act(lambda: net.r.all.reconfigure(net.r.settings))
    want_host(net, "10.3.0.3").run(10.0)
    assert net.r.core.counters["no-such-traffic"] == 3


@BOTH_WAYS
def test_bad_networks_do_not_matter(pushed: bool) -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    up = 0
    for seed in range(50):
        net = call(configured(pushed=pushed, link=link, seed=seed)).run(60.0)
        sane(net)
        up += net.i.events[-2:] == ["configured: 10.3.0.1", "established"] == net.r.events[-2:]
        assert not any("turned away" in event for end in (net.i, net.r) for event in end.events), seed
        assert len(pool_of(net)) <= 1
    assert up >= 48


def test_without_users_a_peer_has_addresses_as_what_it_is() -> None:
    net = remote(Client(versions=(4,)), Gateway(handing=handing()), method=OakleyAuth.PSK)
    call(net).run(1.0)
    assert net.i.events == ["configured: 10.3.0.1", "established"]
    assert list(pool_of(net)._held) == ["peer a.example"]


def test_both_ip_versions_at_once() -> None:
    pools = (AddressPool(ip_network("10.3.0.0/24")), AddressPool(ip_network("2001:db8:3::/64")))
    net = remote(Client(user(), (4, 6)), Gateway(Gate(Users().judge), Handing(pools)))
    assert call(net).run(1.0).i.events == ["configured: 10.3.0.1, 2001:db8:3::1", "established"]
    net = remote(Client(user(), (6,)), Gateway(Gate(Users().judge), Handing(pools)))
    assert call(net).run(1.0).i.events == ["configured: 2001:db8:3::1", "established"]


# --- nothing to give, nothing asked for -----------------------------------------------------------------------------


@BOTH_WAYS
def test_who_comes_when_all_addresses_are_lent_is_turned_away(pushed: bool) -> None:
    gives = handing("10.3.0.0/30", pushes=pushed)
    for name in ("carol", "dave"):
        gives.pools[0].lease(name)
    net = call(configured(pushed=pushed, gives=gives)).run(5.0)
    assert net.r.events == ["turned away: no address of 10.3.0.0/30 is free"]
    assert net.i.events == [
        "turned away: the peer has ended the ISAKMP SA" if pushed else "turned away: the gateway has no address for us"
    ]
    assert net.r.all.isakmp_sas == ()


def test_who_asks_where_there_are_no_addresses_is_left_without() -> None:
    net = call(remote(PULLED)).run(5.0)
    assert net.i.events == ["turned away: the gateway has no address for us"]
    net = call(remote(Client(versions=(4,)), Gateway(), method=OakleyAuth.PSK)).run(5.0)
    assert net.i.events == ["turned away: the gateway has no address for us"]


def test_who_has_to_ask_for_an_address_and_does_not_is_turned_away() -> None:
    net = call(remote(gateway=Gateway(Gate(Users().judge), handing()))).run(200.0)
    assert net.r.events == ["turned away: the peer hasn't asked for an address"]
    net = call(configured(pushed=True, gives=handing())).run(200.0)  # the one waits for the other
    assert net.r.events == ["turned away: the peer hasn't asked for an address"]


def test_what_is_set_unasked_is_not_taken() -> None:
    net = call(remote(gateway=Gateway(Gate(Users().judge), handing(pushes=True)))).run(5.0)
    assert net.i.events[0] == "established"  # it needs no address, and its user is in
    assert not any("configured" in event for event in net.i.events)
    assert net.r.events == ["turned away: the peer doesn't take the address that is set"]
    assert len(pool_of(net)) == 0


def test_no_quick_mode_goes_on_before_there_is_an_address() -> None:
    net = configured()
    net.r.settings = replace(net.r.settings, access=Gateway(Gate(Users().judge), handing()))
    net.i.settings = replace(net.i.settings, access=Client(user()))  # which doesn't ask
    net.i.begin(net.i.settings)
    net.r.begin(net.r.settings)
    net.want().run(60.0)
    assert net.r.core.counters["not-through"] == 6
    assert (net.i.inbound.keys() & net.r.outbound.keys(), net.r.inbound) == (set(), {})


# --- the same address, and whose it is ------------------------------------------------------------------------------


def test_the_next_isakmp_sa_has_the_same_address_and_no_packet_is_lost() -> None:
    net = want_host(call(configured()).run(1.0), "10.3.0.1").run(3.0)
    assert net.agree(1)
    net.traffic(0.5, 20.0)
    call(net)
    net.traffic(0.5, 200.0)
    assert net.i.events.count("configured: 10.3.0.1") == 2
    assert net.lost == []
    assert [len(end.all.isakmp_sas) for end in (net.i, net.r)] == [1, 1]
    assert len(pool_of(net)) == 1
    assert pool_of(net)._held["user alice"][1] == 1  # the one that has ended has given it back
    assert net.agree(1)


def test_an_address_is_free_when_all_of_its_peer_has_ended_and_not_before() -> None:
    net = want_host(call(configured()).run(1.0), "10.3.0.1").run(3.0)
    session = net.r.all._sessions.newest
    assert session is not None
    net.act(lambda: session.end("a test")).run(4.0)
    assert net.r.all.isakmp_sas == ()
    assert len(net.r.all.pairs) == 1
    assert len(pool_of(net)) == 1  # packets still go by the SAs
    net.act(lambda: net.r.all.close("the end"))
    assert len(pool_of(net)) == 0


def test_a_peer_that_is_gone_leaves_its_address_to_others() -> None:
    cut: list[bool] = []
    net = configured(alter=lambda _, data: None if cut else data, dpd=30.0)
    want_host(call(net).run(1.0), "10.3.0.1").run(3.0)
    cut.append(True)
    net.run(300.0)
    assert "ended: the peer isn't there any more" in net.r.events
    assert len(pool_of(net)) == 0
    sane(net)


def test_another_user_at_the_same_place_has_nothing_of_the_first_one() -> None:
    net = want_host(call(configured()).run(1.0), "10.3.0.1").run(3.0)
    access = net.i.settings.access
    assert isinstance(access, Client)
    settings = replace(net.i.settings, access=replace(access, user=user("bob")))
    net.act(lambda: net.i.all.reconfigure(settings))
    call(net).run(5.0)
    assert net.r.events[3:] == [
        "configured: 10.3.0.2",
        "down: another user has come in",
        "ended: another user has come in",
        "established",
    ]
    assert [sa.user for sa in net.r.all.isakmp_sas] == ["bob"]
    assert net.r.inbound == {}
    assert list(pool_of(net)._held) == ["user bob"]


def test_a_users_address_is_the_same_from_wherever_he_comes() -> None:
    gives = handing()
    for name, address in (("alice", "10.3.0.1"), ("bob", "10.3.0.2"), ("alice", "10.3.0.1")):
        net = remote(Client(user(name), (4,)), Gateway(Gate(Users().judge), gives))
        assert call(net).run(1.0).r.events == [f"configured: {address}", "established"]


def test_terms_for_an_address_are_those_that_have_it() -> None:
    net = configured(of_client=terms(local=Selector.net("10.9.0.0/24"), remote=RIGHT))
    call(net).run(1.0)
    want_host(net, "10.3.0.1").run(3.0)
    assert net.r.core.counters["no-such-traffic"] == 1
    assert mirrored(net.i.settings.terms[0]) == net.r.settings.terms[0]
    assert ends_of("10.3.0.1").local == Selector.net("10.3.0.1/32")
