"""Both ends of IKEv1 with all that can be offered, on good networks and bad ones: set up, used, rekeyed and renewed
from both sides, and ended."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import ip_address

import pytest

from ipsecd.ike.config import Lifetime
from ipsecd.ike.suites import AhEspSuite, ChildSuite
from ipsecd.ike.v1.quick_terms import QuickTerms
from ipsecd.ike.v1.session import Settings
from ipsecd.wire.registry import Encr, Group, IpProtocol
from ipsecd.wire.selector import Selector
from tests.exchange.network import Link
from tests.exchange.phase_2 import LEFT, RIGHT, mirrored, of_hosts, terms
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_suites import ah, both, esp

GROUP = Group.CURVE25519
DAY = Lifetime(86_400)
BAD = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))

OFFERS = {
    "esp": (esp(), None),
    "esp with pfs": (esp(group=GROUP), None),
    "aead with pfs and esn": (esp(Encr.AES_GCM_16, 256, None, GROUP, esn=True), None),
    "3des": (esp(Encr.TRIPLE_DES, None), None),
    "ah": (ah(), None),
    "ah with pfs": (ah(group=GROUP), None),
    "ah+esp": (both(ah(), esp()), None),
    "ah+esp with pfs": (both(ah(), esp(group=GROUP)), None),
    "the second of two": (esp(), esp(Encr.AES_CBC, 256)),
}
TRAFFIC = {
    "subnets": (LEFT, RIGHT),
    "addresses": (Selector.net("10.1.0.5/32"), Selector.net("10.2.0.9/32")),
    "ranges": (
        Selector(ip_address("10.1.0.5"), ip_address("10.1.0.77")),
        Selector(ip_address("10.2.0.1"), ip_address("10.2.0.200")),
    ),
    "one port": (replace(LEFT, protocol=6), replace(RIGHT, protocol=6, ports=(443, 443))),
    "ipv6": (Selector.net("2001:db8:1::/48"), Selector.net("2001:db8:2::/48")),
}


def lived_through(net: Gateways) -> None:
    """Up, rekeyed and renewed from both sides under traffic, put down."""
    net.up(10.0)
    for end in (net.i, net.r):
        net.act(partial(end.all.rekey, "c"))
        net.traffic(0.5, net.now + 10.0)
        if end is net.i or not net._nat:
            net.act(end.all.renew)
            net.traffic(0.5, net.now + 10.0)
    for end in (net.i, net.r):
        net.act(partial(end.all.rekey, "c"))
    net.traffic(0.1, net.now + 1.0)
    assert net.settles(1)
    assert net.lost == []
    assert min(net.i.events.count("rekeyed"), net.r.events.count("rekeyed")) >= 3
    whole = [live.pair.suite for end in (net.i, net.r) for live in end.all.pairs]
    parts = 2 if isinstance(whole[0], AhEspSuite) else 1
    assert len(net.i.inbound) == len(net.i.outbound) == parts
    net.act(lambda: net.r.all.close("it goes"))
    net.run(net.now + 5.0)
    assert net.agree(0)
    assert net.i.events[-1] == "ended: the peer has ended the ISAKMP SA"


def between(
    suite: ChildSuite, also: ChildSuite | None, of_i: QuickTerms, of_r: QuickTerms, **values: object
) -> Gateways:
    """``also`` is what the initiator would rather have, and the responder doesn't take."""
    offered = (suite,) if also is None else (also, suite)
    settings = Settings((replace(of_i, suites=offered),)), Settings((replace(of_r, suites=(suite,)),))
    return Gateways(*settings, **values)  # type: ignore[arg-type]  # as there


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_tunnels(offer: str, traffic: str) -> None:
    local, remote = TRAFFIC[traffic]
    of_i = terms(local=local, remote=remote, lifetime=DAY)
    net = between(*OFFERS[offer], of_i, mirrored(of_i))
    lived_through(net)
    (installed,) = {each.local for each in net.i.effects if hasattr(each, "local") and hasattr(each, "form")}
    assert installed == (local,)


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("protocol", [0, IpProtocol.UDP])
def test_transport_mode(offer: str, protocol: int) -> None:
    local, remote = (replace(each, protocol=protocol) for each in of_hosts())
    of_i = terms(local=local, remote=remote, lifetime=DAY, transport=True)
    net = between(*OFFERS[offer], of_i, mirrored(of_i))
    lived_through(net)
    assert all(each.form.transport for each in net.i.effects if hasattr(each, "form"))


@pytest.mark.parametrize("offer", [each for each in OFFERS if "ah" not in each])
@pytest.mark.parametrize("nat", [False, True])
@pytest.mark.parametrize("transport", [False, True])
def test_in_udp(offer: str, nat: bool, transport: bool) -> None:
    of_i, of_r = terms(lifetime=DAY), mirrored(terms(lifetime=DAY))
    if transport:
        local, remote = of_hosts()
        of_i = terms(local=local, remote=remote, lifetime=DAY, transport=True)
        remote, local = of_hosts(nat=nat)
        of_r = terms(local=local, remote=remote, lifetime=DAY, transport=True)
    net = between(*OFFERS[offer], of_i, of_r, nat=nat, force_udp=not nat, calls=not nat)
    lived_through(net)
    ports = {(each.path.local.port, each.path.remote.port) for each in net.i.effects if hasattr(each, "form")}
    assert ports == {(4500, 4500)}
    assert all(each.form.transport == transport for each in net.i.effects if hasattr(each, "form"))


def test_where_one_side_wants_pfs_and_the_other_has_none_nothing_is_made() -> None:
    of_i = terms(lifetime=DAY)
    for ours, theirs in ((esp(group=GROUP), esp()), (esp(), esp(group=GROUP))):
        net = between(ours, None, of_i, mirrored(of_i))
        net.r.all.reconfigure(Settings((replace(mirrored(of_i), suites=(theirs,)),)))
        net.want().run(30.0)
        assert net.i.events == ["established", "failed: the peer says NO_PROPOSAL_CHOSEN"]
        assert net.agree(0)


# --- bad networks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", ["esp", "ah+esp", "ah+esp with pfs"])
@pytest.mark.parametrize("part", range(4))
def test_with_a_fifth_lost_and_more_in_disorder_both_are_up_within_a_minute(part: int, offer: str) -> None:
    up = 0
    of_i = terms(lifetime=DAY)
    for seed in range(50 * part, 50 * part + 50):
        net = between(*OFFERS[offer], of_i, mirrored(of_i), seed=seed, link=BAD)
        net.want().run(60.0)
        up += "up" in net.i.events and "up" in net.r.events
        assert [end.core.counters["internal-error"] for end in (net.i, net.r)] == [0, 0]
    assert up >= 49


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_network_both_sides_rekey_and_renew_and_end_with_the_same(seed: int) -> None:
    """Packets that a lost Delete makes one side send in vain are few, as the other is asked again soon."""
    of_i = terms(lifetime=Lifetime(1_200))
    offer = ("esp", "ah+esp", "ah with pfs")[seed % 3]
    net = between(*OFFERS[offer], of_i, mirrored(of_i), seed=seed, link=BAD, seconds=3_600)
    net.want().run(100.0)
    net.traffic(5.0, 28_800.0)
    assert net.i.events.count("rekeyed") > 22
    assert net.i.events.count("established") > 6
    assert len(net.lost) <= 0.002 * sum(net.count.values())
    net._link = Link()
    assert net.settles(1)


@pytest.mark.parametrize("seed", range(10))
def test_everything_twice_is_the_same_as_once(seed: int) -> None:
    of_i = terms(lifetime=Lifetime(1_200))
    twice = Link(duplication=1.0, delay=(0.01, 0.5))
    net = Gateways(Settings((of_i,)), Settings((mirrored(of_i),)), seed=seed, link=twice, seconds=3_600)
    net.up().traffic(1.0, 7_200.0)
    assert net.lost == []
    assert net.settles(1)
