"""Names whose addresses change, well-known sets that change, and interfaces that are renamed: what a policy covers
follows, and nothing that it covers passes meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecd.io.gateways import gateways
from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.netns import nameserver
from tests.netns.capture import Capture, send
from tests.netns.flood import Flood, in_clear, leaves_in_clear
from tests.netns.nameserver import NameServer
from tests.netns.packets import udp
from tests.netns.pair import files, policy, rule
from tests.netns.places import GA_WAN, GB_WAN, HA, HB, NET_A
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

OTHER = "10.2.0.3"  # at the far site, as HB is
SECOND = "192.0.2.3"  # another address of gb
DNS = {"source": "me", "destination": "dns", "protocol": "udp", "destination_port": 53}


@pytest.fixture
def etc(sites: Sites) -> Iterator[Path]:
    """ga asks gb for names."""
    sites.run("gb", ["ip", "addr", "add", f"{SECOND}/24", "dev", "wan0"])
    with nameserver.etc(sites, "ga", GB_WAN[4]) as folder:
        yield folder


class Probe:
    """Numbered packets from a place to an address, and whether they leave ga by a link in clear."""

    def __init__(self, sites: Sites, wan: Capture, place: str, source: str) -> None:
        self._sites, self._wan, self._place, self._source = sites, wan, place, source
        self._number = 0

    def __call__(self, destination: str, dport: int = 4001) -> bool:
        self._number += 1
        mark, fence = (f"<{word} {self._number}>".encode() for word in ("probe", "fence"))
        with contextlib.suppress(PermissionError):  # the floor drops what ga itself sends
            send(self._sites, self._place, udp(self._source, destination, mark, dport=dport))
        send(self._sites, "gb", udp(GB_WAN[4], GA_WAN[4], fence))
        self._wan.wait_for(fence)
        return any(seen.outgoing and mark in seen.packet for seen in self._wan.seen)


def entries(daemon: Ipsecd) -> str:
    return str(daemon.ask("policy")["entries"])


# --- DNS names ------------------------------------------------------------------------------------------------------


def test_a_name_is_followed_when_its_ttl_ends_and_lasts_while_the_dns_is_silent_or_denies_it(
    sites: Sites, tmp_path: Path, etc: Path
) -> None:
    site = rule("a") | {"filters": [{"source": NET_A[4], "destination": "server-b.test"}]}
    with (
        NameServer(sites, "gb", GB_WAN[4], tmp_path) as dns,
        Ipsecd(sites, "ga", tmp_path / "a", files(site)) as daemon,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[4], HB[4])),
    ):
        leaves = Probe(sites, wan, "ha", HA[4])
        assert leaves(HB[4]), "nobody knows the name yet"
        dns.says({"server-b.test": (1, [HB[4], OTHER])})
        eventually(lambda: HB[4] in entries(daemon) and OTHER in entries(daemon), "the name is known")
        assert not leaves(HB[4])
        assert not leaves(OTHER)
        before = len(in_clear(wan))
        dns.says({"server-b.test": (1, [HB[4]])})
        eventually(lambda: OTHER not in entries(daemon), "one address less")
        assert leaves(OTHER)
        for number, told in enumerate((None, {}, {"server-b.test": (1, [HB[4]])})):
            dns.says(told)
            asked = dns.asked()
            eventually(lambda asked=asked: dns.asked() > asked + 3, "it was asked again")
            assert not leaves(HB[4]), number
        dns.says({"server-b.test": (1, [OTHER])})
        assert len(in_clear(wan)) == before
        eventually(lambda: HB[4] not in entries(daemon), "another address")
        assert not leaves(OTHER)
        assert leaves(HB[4])
        assert "server-b.test has no address any more; what protects or blocks it still means 10.2.0.2" in daemon.log()


def test_a_long_ttl_is_waited_for(sites: Sites, tmp_path: Path, etc: Path) -> None:
    site = rule("a") | {"filters": [{"source": NET_A[4], "destination": name} for name in ("long.test", "short.test")]}
    with NameServer(sites, "gb", GB_WAN[4], tmp_path) as dns:
        dns.says({"long.test": (3_600, [HB[4]]), "short.test": (1, [OTHER])})
        with Ipsecd(sites, "ga", tmp_path / "a", files(site)) as daemon:
            eventually(lambda: HB[4] in entries(daemon) and OTHER in entries(daemon), "the names are known")
            dns.says({"long.test": (1, ["10.2.0.77"]), "short.test": (1, ["10.2.0.88"])})
            eventually(lambda: "10.2.0.88" in entries(daemon), "the short one is followed")
            assert "10.2.0.77" not in entries(daemon)


# --- well-known sets ------------------------------------------------------------------------------------------------


def test_a_policy_that_permits_nothing_but_the_dns_gets_as_far_as_the_dns_and_follows_it(
    sites: Sites, tmp_path: Path, etc: Path
) -> None:
    named = {"name": "b", "filters": [{"source": "me", "destination": "server-b.test"}], "action": "permit"}
    text = policy({"name": "dns", "filters": [DNS], "action": "permit"}, named, default_action="block")
    with (
        NameServer(sites, "gb", GB_WAN[4], tmp_path) as first,
        NameServer(sites, "gb", SECOND, tmp_path) as second,
        Capture(sites, "ga", "wan0") as wan,
    ):
        first.says({"server-b.test": (1, [HB[4]])})
        second.says({"server-b.test": (1, [OTHER])})
        with Ipsecd(sites, "ga", tmp_path / "a", {"policy.yaml": text}) as daemon:
            leaves = Probe(sites, wan, "ga", GA_WAN[4])
            eventually(lambda: HB[4] in entries(daemon), "the name is known")
            assert [leaves(GB_WAN[4], 53), leaves(SECOND, 53), leaves(GB_WAN[4]), leaves(HB[4])] == [
                True,
                False,
                False,
                True,
            ]
            (etc / "resolv.conf").write_text(nameserver.resolv_conf(SECOND))
            eventually(lambda: OTHER in entries(daemon), "the other server is asked")
            assert [leaves(GB_WAN[4], 53), leaves(SECOND, 53), leaves(HB[4]), leaves(OTHER)] == [
                False,
                True,
                False,
                True,
            ]
            (etc / "resolv.conf").write_text("")
            eventually(lambda: daemon.ctl("status")["unresolved"] == ["dns"], "there is no server any more")
            assert not leaves(SECOND, 53)


@pytest.mark.parametrize("action", ["permit", "block"])
def test_the_default_gateway_is_followed(sites: Sites, tmp_path: Path, action: str) -> None:
    via = {"name": "gateway", "filters": [{"source": "me", "destination": "default-gateway"}], "action": action}
    text = policy(via, default_action="permit" if action == "block" else "block")
    blocked = action == "block"
    sites.run("gb", ["ip", "addr", "add", f"{SECOND}/24", "dev", "wan0"])
    with (
        Ipsecd(sites, "ga", tmp_path / "a", {"policy.yaml": text}) as daemon,
        Capture(sites, "ga", "wan0") as wan,
    ):
        leaves = Probe(sites, wan, "ga", GA_WAN[4])
        assert GB_WAN[6] in entries(daemon)
        assert [leaves(GB_WAN[4]), leaves(SECOND)] == [not blocked, blocked]
        with Flood(sites, "ga", (GA_WAN[4], SECOND if not blocked else GB_WAN[4])):
            sites.run("ga", ["ip", "route", "add", "default", "via", SECOND, "metric", "50"])
            eventually(lambda: SECOND in entries(daemon), "both are gateways")
            assert [leaves(GB_WAN[4]), leaves(SECOND)] == [not blocked, not blocked]
            if blocked:
                assert in_clear(wan) == []
        sites.run("ga", ["ip", "route", "del", "default", "via", GB_WAN[4]])
        eventually(lambda: GB_WAN[4] not in entries(daemon), "one of them is")
        assert [leaves(GB_WAN[4]), leaves(SECOND)] == [blocked, not blocked]
        sites.run("ga", ["ip", "route", "del", "default"])
        sites.run("ga", ["ip", "-6", "route", "del", "default"])
        eventually(lambda: "the set default-gateway has no address any more" in daemon.log(), "there is none")
        eventually(lambda: (SECOND in entries(daemon)) is blocked, "that is in force")
        assert not leaves(SECOND), "blocked as before, or permitted no more"


def test_every_default_route_of_the_main_table_has_its_gateways(sites: Sites) -> None:
    for route in (
        "-4 route replace default via 192.0.2.254",
        "-4 route add default via 192.0.2.253 metric 7",
        "-4 route add default via inet6 fe80::9 dev wan0 metric 9",
        "-4 route add default metric 11 nexthop via 192.0.2.252 nexthop via 10.1.0.9",
        "-4 route add default via 192.0.2.77 table 77",
        "-4 route add blackhole default metric 100",
        "-4 route add default dev lan0 metric 101",
        "-4 route add 10.9.0.0/16 via 192.0.2.78",
        "nexthop add id 7 via 192.0.2.251 dev wan0",
        "-4 route add default nhid 7 metric 50",
        "-6 route replace default nexthop via 2001:db8::fe nexthop via fe80::1 dev lan0",
        "-6 route add 2001:db8:9::/48 via 2001:db8::fd",
    ):
        sites.run("ga", ["ip", *route.split()])
    found = sites.inside("ga", lambda: asyncio.run(gateways()))
    assert {str(address) for address in found} == {
        *(f"192.0.2.{number}" for number in (254, 253, 252, 251)),
        *("fe80::9", "10.1.0.9", "2001:db8::fe", "fe80::1"),
    }
    for version in (4, 4, 4, 4, 4, 4, 4, 6):
        sites.run("ga", ["ip", f"-{version}", "route", "del", "default"])
    assert sites.inside("ga", lambda: asyncio.run(gateways())) == ()


# --- names of interfaces --------------------------------------------------------------------------------------------


def test_interfaces_that_are_renamed_are_followed_and_let_nothing_out(sites: Sites, tmp_path: Path) -> None:
    with (
        Ipsecd(sites, "ga", tmp_path / "a", files(rule("a"))) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", files(rule("b"))),
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[4], HB[4])),
    ):
        assert answers(sites, "ha", HB[4]) == 3
        for old, new in (("wan0", "up0"), ("lan0", "in0"), ("up0", "wan0")):
            sites.run("ga", ["ip", "link", "set", old, "name", new])
            assert not leaves_in_clear(sites, wan)
            assert answers(sites, "ha", HB[4]) == 3
            if old != "lan0":
                eventually(lambda new=new: _outside(sites) == {new}, "the outside has another name")
                assert not leaves_in_clear(sites, wan)
        assert in_clear(wan) == []
        eventually(
            lambda: daemon.log().count("Interfaces that lead to peers and to everybody else are now") == 2, "told"
        )


def _outside(sites: Sites) -> set[str]:
    table = sites.run("ga", ["nft", "list", "table", "inet", "ipsecd"]).stdout
    return set(re.findall(r'oifname "(\w+)" counter name "not-inside"', table))
