"""What comes out of the tunnel goes inside or nowhere, and only from inside anything goes in, whatever the routes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecd.io.outside import EVERYBODY
from ipsecd.policy.plan import Action, Plan, Settings
from ipsecd.policy.sides import NOT_INSIDE, WRONG_SIDE
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, inject, send
from tests.netns.gateway import Gateway, entry
from tests.netns.packets import udp
from tests.netns.places import EVERYTHING, GA_LAN, GB_WAN, HA, HB, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]
rp_filters = pytest.mark.parametrize("rp_filter", [0, 1, 2])

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
FENCE = b"<honest packet>"
WIDE = {4: "10.1.0.0/16", 6: "fd01::/48"}  # the network of lan0 is but a part of it
UNROUTED = {4: "10.1.99.9", 6: "fd01:0:0:99::9"}
STRANGER = {4: "203.0.113.9", 6: "2001:db8:77::9"}


def protecting(version: int, local: str, inside: tuple[str, ...] = ()) -> Plan:
    """A rule between these local addresses and the far side's network."""
    protect = entry(Action.PROTECT, Selector.net(local), Selector.net(NET_B[version]))
    return Plan("test", entries=(protect,), settings=Settings(inside=inside))


def second_link(sites: Sites, name: str) -> None:
    """Another link between ga and gb, called x0 there. Nobody is asked for the Ethernet addresses behind it."""
    ends = ["peer", "name", "x0", "netns", sites.namespace("gb")]
    sites.run("ga", ["ip", "link", "add", name, "type", "veth", *ends])
    sites.run("ga", ["ip", "link", "set", name, "arp", "off", "up"])
    sites.run("gb", ["ip", "link", "set", "x0", "up"])


def second_uplink(sites: Sites) -> None:
    """The default routes move to another interface, and nobody tells us."""
    second_link(sites, "wan1")
    for version in (4, 6):
        sites.run("ga", ["ip", f"-{version}", "route", "replace", "default", "dev", "wan1"])


def route_outside(sites: Sites, version: int, destination: str) -> None:
    sites.run("ga", ["ip", "route", "add", destination, "via", GB_WAN[version]])


def unchecked(gateway: Gateway) -> None:
    """The floor without what this file is about."""
    for chain, counter in (("entering", WRONG_SIDE), ("emerging", NOT_INSIDE), ("leaving_tun", NOT_INSIDE)):
        gateway.without(chain, counter)


@rp_filters
def test_what_comes_out_of_the_tunnel_never_leaves_by_the_outside(tmp_path: Path, version: int, rp_filter: int) -> None:
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, protecting(version, WIDE[version])) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "ha", "eth0") as lan,
    ):
        gateway.into_tun([udp(HB[version], HA[version], FENCE)])
        lan.wait_for(FENCE)
        gateway.into_tun([udp(HB[version], UNROUTED[version], MARK)])
        route_outside(sites, version, HA[version])  # as DHCP or a router of the outside may have it
        gateway.into_tun([udp(HB[version], HA[version], MARK)])
        sites.run("ga", ["ip", "route", "del", HA[version]])
        sites.run("ga", ["ip", "link", "set", "lan0", "down"])
        gateway.into_tun([udp(HB[version], HA[version], MARK)])
        assert gateway.counters()[NOT_INSIDE] == 3
        assert wan.count(MARK) == 0
        unchecked(gateway)
        gateway.into_tun([udp(HB[version], HA[version], CONTROL)])
        wan.wait_for(CONTROL)
        gateway.into_tun([udp(HB[version], UNROUTED[version], CONTROL + b"2")])
        wan.wait_for(CONTROL + b"2")
        route_outside(sites, version, HA[version])
        gateway.into_tun([udp(HB[version], HA[version], CONTROL + b"3")])
        wan.wait_for(CONTROL + b"3")
        assert wan.count(MARK) == 0


def test_a_default_route_that_moves_leads_nowhere_either(sites: Sites, tmp_path: Path, version: int) -> None:
    """Before anybody has noticed that there is another outside."""
    with Gateway(sites, tmp_path, protecting(version, WIDE[version])) as gateway:
        second_uplink(sites)
        with Capture(sites, "ga", "wan1") as uplink:
            gateway.into_tun([udp(HB[version], UNROUTED[version], MARK)])
            assert gateway.counters()[NOT_INSIDE] == 1
            gateway.without("emerging", NOT_INSIDE)
            gateway.into_tun([udp(HB[version], UNROUTED[version], CONTROL)])
            uplink.wait_for(CONTROL)
            assert uplink.count(MARK) == 0


def test_the_outside_is_where_the_default_route_was_last(sites: Sites, tmp_path: Path, version: int) -> None:
    """Where the floor knows it, not even a route of its own leads out there."""
    with Gateway(sites, tmp_path, protecting(version, WIDE[version])) as gateway:
        second_uplink(sites)
        sites.run("ga", ["ip", "route", "add", UNROUTED[version], "dev", "wan1"])
        with Capture(sites, "ga", "wan1") as uplink:
            gateway.into_tun([udp(HB[version], UNROUTED[version], CONTROL)])
            uplink.wait_for(CONTROL)
            assert gateway.outside() == ("wan1",)
            gateway.raise_floor()
            gateway.into_tun([udp(HB[version], UNROUTED[version], MARK)])
            assert gateway.counters()[NOT_INSIDE] == 1
            assert uplink.count(MARK) == 0
        sites.run("ga", ["ip", "link", "del", "wan1"])
        assert gateway.outside() == ("wan1",), "what is gone is nowhere else"


def test_the_outside_is_found_where_some_addresses_lead_nowhere_or_are_our_own(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    first, *others, _ = (str(address) for address in EVERYBODY if address.version == version)
    sites.run("ga", ["ip", "addr", "add", first, "dev", "lan0", *(["nodad"] if version == 6 else [])])
    for address in others:
        sites.run("ga", ["ip", f"-{version}", "route", "add", "blackhole", address])
    sites.run("ga", ["ip", f"-{6 if version == 4 else 4}", "route", "del", "default"])
    with Gateway(sites, tmp_path / "one", protecting(version, WIDE[version])) as gateway:
        assert gateway.outside() == ("wan0",)
        assert [problem for problem in gateway.problems() if "reverse path" in problem] == []
    sites.run("ga", ["ip", f"-{version}", "route", "del", "default"])
    with Gateway(sites, tmp_path / "two", protecting(version, WIDE[version])) as gateway:
        assert gateway.outside() == ()
        assert any(problem.startswith("nothing tells which interfaces lead outside") for problem in gateway.problems())


def test_every_next_hop_of_a_default_route_leads_outside(sites: Sites, tmp_path: Path, version: int) -> None:
    """Wherever the packets to one peer, or to nobody, happen to go of them."""
    second_link(sites, "wan1")
    sites.run("ga", ["ip", f"-{6 if version == 4 else 4}", "route", "del", "default"])
    via = {4: GB_WAN[4], 6: "fe80::2"}[version]
    hops = [word for name in ("wan0", "wan1") for word in ("nexthop", "via", via, "dev", name, "onlink")]
    sites.run("ga", ["ip", f"-{version}", "route", "replace", "default", *hops])
    with Gateway(sites, tmp_path, protecting(version, WIDE[version])) as gateway:
        assert gateway.outside() == ("wan0", "wan1")
        assert gateway.outside(GA_LAN[version]) == ("wan0", "wan1"), "a peer that is this machine itself is nowhere"
        sites.sysctl("ga", "ipv4/nexthop_compat_mode", 0)
        sites.run("ga", ["ip", "nexthop", "add", "id", "7", "via", via, "dev", "wan1", "onlink"])
        sites.run("ga", ["ip", f"-{version}", "route", "replace", "default", "nhid", "7"])
        assert gateway.outside() == ("wan1",)


@rp_filters
def test_nothing_from_outside_enters_the_tunnel(tmp_path: Path, version: int, rp_filter: int) -> None:
    """Neither from addresses that only a default route leads to, nor where a route of its own leads outside."""
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, protecting(version, WIDE[version])) as gateway,
    ):
        to_ga = sites.mac("ga", "wan0")
        inject(sites, "gb", "wan0", to_ga, udp(UNROUTED[version], HB[version], MARK))
        route_outside(sites, version, HA[version])
        inject(sites, "gb", "wan0", to_ga, udp(HA[version], HB[version], MARK))
        sites.run("ga", ["ip", "route", "del", HA[version]])
        send(sites, "ha", udp(HA[version], HB[version], FENCE))
        gateway.wait_in_tun(FENCE)
        assert gateway.counters()[WRONG_SIDE] == 2
        assert gateway.out_of_tun(MARK) == []
        unchecked(gateway)
        inject(sites, "gb", "wan0", to_ga, udp(UNROUTED[version], HB[version], CONTROL))
        gateway.wait_in_tun(CONTROL)
        route_outside(sites, version, HA[version])
        inject(sites, "gb", "wan0", to_ga, udp(HA[version], HB[version], CONTROL))
        gateway.wait_in_tun(CONTROL)


def test_nothing_from_a_new_outside_enters_the_tunnel(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, protecting(version, WIDE[version])) as gateway:
        second_uplink(sites)
        inject(sites, "gb", "x0", sites.mac("ga", "wan1"), udp(UNROUTED[version], HB[version], MARK))
        send(sites, "ha", udp(HA[version], HB[version], FENCE))
        gateway.wait_in_tun(FENCE)
        assert gateway.counters()[WRONG_SIDE] == 1
        assert gateway.out_of_tun(MARK) == []
        gateway.without("entering", WRONG_SIDE)
        inject(sites, "gb", "x0", sites.mac("ga", "wan1"), udp(UNROUTED[version], HB[version], CONTROL))
        gateway.wait_in_tun(CONTROL)


@rp_filters
def test_where_any_address_is_local_the_default_route_leads_inside_too(
    tmp_path: Path, version: int, rp_filter: int
) -> None:
    """A hub through which a branch reaches everybody; a narrower rule stays as narrow as it is."""
    everything, remote = Selector.net(EVERYTHING[version]), Selector.net(NET_B[version])
    entries = (
        entry(Action.PROTECT, Selector.net(WIDE[version]), remote, "here/1"),
        entry(Action.PROTECT, everything, remote, "all/1"),
    )
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, Plan("test", entries=entries)) as gateway,
        Capture(sites, "ga", "wan0") as wan,
    ):
        to_ga = sites.mac("ga", "wan0")
        gateway.into_tun([udp(HB[version], UNROUTED[version], MARK)])
        gateway.into_tun([udp(HB[version], STRANGER[version], CONTROL)])
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0
        assert gateway.counters()[NOT_INSIDE] == 1
        inject(sites, "gb", "wan0", to_ga, udp(UNROUTED[version], HB[version], MARK))
        inject(sites, "gb", "wan0", to_ga, udp(HA[version], HB[version], MARK))
        inject(sites, "gb", "wan0", to_ga, udp(STRANGER[version], HB[version], CONTROL))
        gateway.wait_in_tun(CONTROL)
        assert gateway.out_of_tun(MARK) == []
        inject(sites, "ha", "eth0", sites.mac("ga", "lan0"), udp(STRANGER[version], HB[version], MARK))
        inject(sites, "ha", "eth0", sites.mac("ga", "lan0"), udp(HA[version], HB[version], FENCE))
        gateway.wait_in_tun(FENCE)
        assert gateway.out_of_tun(MARK) == []


def test_a_gateway_with_one_arm_says_so(sites: Sites, tmp_path: Path, version: int) -> None:
    """What is behind the interface that leads to the peers is inside if the policy says so, and then nothing else."""
    inner = {4: ("10.1.77.0/24", "10.1.77.7"), 6: ("fd01:0:0:77::/64", "fd01:0:0:77::7")}[version]
    route_outside(sites, version, inner[0])
    to_ga = sites.mac("ga", "wan0")
    with Gateway(sites, tmp_path, protecting(version, inner[0])) as gateway, Capture(sites, "ga", "wan0") as wan:
        gateway.into_tun([udp(HB[version], inner[1], MARK)])
        assert gateway.counters()[NOT_INSIDE] == 1
        assert wan.count(MARK) == 0
        (problem,) = gateway.problems()
        assert problem.startswith(f"wan0 leads to {inner[0]}, which is local to a rule, but it leads to peers or ")
    plan = protecting(version, WIDE[version], inside=("wan0",))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        gateway.into_tun([udp(HB[version], inner[1], CONTROL)])
        wan.wait_for(CONTROL)
        inject(sites, "gb", "wan0", to_ga, udp(inner[1], HB[version], CONTROL))
        gateway.wait_in_tun(CONTROL)
        (problem,) = gateway.problems()
        assert problem.startswith(
            f"lan0 leads to {WIDE[version]}, which is local to a rule, but the policy's settings."
        )
        with Capture(sites, "ha", "eth0") as lan:
            gateway.into_tun([udp(HB[version], HA[version], MARK)])
            assert gateway.counters()[NOT_INSIDE] == 1
            assert lan.count(MARK) == 0
        send(sites, "ha", udp(HA[version], HB[version], MARK))
        inject(sites, "gb", "wan0", to_ga, udp(inner[1], HB[version], FENCE))
        gateway.wait_in_tun(FENCE)
        assert gateway.counters()[WRONG_SIDE] == 1
        assert gateway.out_of_tun(MARK) == []


def test_an_interface_of_the_tunnels_name_is_no_tunnel(sites: Sites, tmp_path: Path, version: int) -> None:
    """Another program has one while our daemon is dead: what comes by it is as any packet, and what is ours stays."""
    with Gateway(sites, tmp_path, protecting(version, WIDE[version])):
        pass
    second_link(sites, "ipsecd0")
    to_ga = sites.mac("ga", "ipsecd0")
    sites.run("ga", ["ip", f"-{version}", "route", "add", NET_B[version], "dev", "ipsecd0", "table", "4500"])
    with (
        Capture(sites, "ha", "eth0") as lan,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "gb", "x0") as foreign,
    ):
        inject(sites, "gb", "x0", to_ga, udp(HB[version], HA[version], MARK))
        inject(sites, "gb", "x0", to_ga, udp(STRANGER[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        send(sites, "ha", udp(HA[version], HB[version], MARK))
        send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert foreign.count(MARK) == 1  # the one that gb itself has sent
        sites.run("ga", ["ip", "link", "set", "ipsecd0", "group", "4500"])
        inject(sites, "gb", "x0", to_ga, udp(HB[version], HA[version], CONTROL))
        lan.wait_for(CONTROL)
        send(sites, "ha", udp(HA[version], HB[version], CONTROL + b"2"))
        foreign.wait_for(CONTROL + b"2")


def test_a_local_network_that_lies_nowhere_or_outside_is_named(sites: Sites, tmp_path: Path, version: int) -> None:
    """Also if only an address of our own tells so: the rest of its network may be behind a default route."""
    apart = {4: "10.5.0.0/16", 6: "fd05::/48"}[version]
    own = {4: "10.5.7.1/24", 6: "fd05:0:0:7::1/64"}[version]
    with Gateway(sites, tmp_path, protecting(version, apart)) as gateway:
        (problem,) = gateway.problems()
        assert problem.startswith(f"no route of its own leads to {apart}, which is local to a rule, as far as ")
        sites.run("ga", ["ip", "addr", "add", own, "dev", "wan0"])
        (problem,) = gateway.problems()
        assert problem.startswith(f"wan0 leads to {apart}, which is local to a rule, but it leads to peers or ")
        sites.run("ga", ["ip", "addr", "del", own, "dev", "wan0"])
        sites.run("ga", ["ip", "addr", "add", own, "dev", "lan0"])
        assert gateway.problems() == ()
    with Gateway(sites, tmp_path, protecting(version, own.partition("/")[0])) as gateway:
        assert gateway.problems() == ()
