"""Two links between the gateways, one of a local network and one of remote access: rules for one type say what each
carries, and follow the routes from one to the other. Nothing that they protect crosses either in clear."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers, silent
from tests.interop.waiting import eventually
from tests.interop.wire import Wire
from tests.netns.pair import files, pair, rule
from tests.netns.places import GA_WAN, GB_LAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

GA_PPP = {4: "198.51.100.1", 6: "2001:db8:7::1"}
GB_PPP = {4: "198.51.100.2", 6: "2001:db8:7::2"}
LENGTH = {4: 24, 6: 64}
FAR = {4: "203.0.113.7", 6: "2001:db8:9::7"}  # of gb, behind either link
VIA = {"wan0": GB_WAN, "ppp0": GB_PPP}


def plug(sites: Sites, version: int) -> None:
    """The second link, whose name says that it is of remote access."""
    peer = sites.namespace("gb")
    sites.run("ga", ["ip", "link", "add", "ppp0", "type", "veth", "peer", "name", "ppp0", "netns", peer])
    for place, address in (("ga", GA_PPP), ("gb", GB_PPP)):
        where = ["dev", "ppp0", *(["nodad"] if version == 6 else [])]
        sites.run(place, ["ip", "address", "add", f"{address[version]}/{LENGTH[version]}", *where])
        sites.run(place, ["ip", "link", "set", "ppp0", "up"])


def lead(sites: Sites, version: int, link: str) -> None:
    """Both gateways reach each other's network by this link from now on."""
    near = {"wan0": GA_WAN, "ppp0": GA_PPP}[link][version]
    sites.run("ga", ["ip", "route", "replace", NET_B[version], "via", VIA[link][version]])
    sites.run("gb", ["ip", "route", "replace", NET_A[version], "via", near])


@contextlib.contextmanager
def daemons(
    sites: Sites, folder: Path, of_a: Mapping[str, str], of_b: Mapping[str, str], native: str = ""
) -> Iterator[tuple[Ipsecd, Ipsecd, Wire, Wire]]:
    """One in each gateway, and what crosses either link, in UDP or as this protocol."""
    with (
        Wire(sites) as wan,
        Wire(sites, interface="ppp0") as ppp,
        Ipsecd(sites, "ga", folder / "a", of_a) as a,
        Ipsecd(sites, "gb", folder / "b", of_b) as b,
    ):
        yield a, b, wan, ppp
    assert (wan.cleartext(native), ppp.cleartext(native)) == ({}, {})


def tunnel(side: str, version: int, link: str, kind: str, **more: Any) -> dict[str, Any]:
    """A rule for what goes between the sites, by a tunnel along this link."""
    ends = [GA_WAN[version], GB_WAN[version]] if link == "wan0" else [GA_PPP[version], GB_PPP[version]]
    local, remote = ends if side == "a" else ends[::-1]
    own = {"tunnel": {"local": local, "remote": remote}, "connections": kind, **more}
    return rule(side, f"by-{link}", inside=(version,), outside=version) | own


def up(daemon: Ipsecd) -> set[str]:
    return {child["rule"] for child in daemon.children() if child["stage"] == "up"}


def test_each_type_has_its_tunnel_and_a_route_that_moves_takes_the_other(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    plug(sites, version)
    lead(sites, version, "wan0")
    of_a, of_b = (
        files(tunnel(side, version, "wan0", "lan"), tunnel(side, version, "ppp0", "remote-access")) for side in "ab"
    )
    with daemons(sites, tmp_path, of_a, of_b) as (a, b, wan, ppp):
        for link, wire, other in (("wan0", wan, ppp), ("ppp0", ppp, wan), ("wan0", wan, ppp)):
            lead(sites, version, link)

            def carries(wire: Wire = wire, other: Wire = other) -> bool:
                before = wire.kinds()["ESP in UDP"], other.kinds()["ESP in UDP"]
                answered = answers(sites, "ha", HB[version], patience=1) == 3
                return answered and (wire.kinds()["ESP in UDP"], other.kinds()["ESP in UDP"]) == (
                    before[0] + 6,
                    before[1],
                )

            eventually(carries, "the tunnel of that type carries, and no other")
            told = a.ctl("explain", HA[version], HB[version])["outbound"]
            assert (told["verdict"], told["rule"]) == ("protect", f"by-{link}")
        assert up(a) == up(b) == {"by-wan0", "by-ppp0"}


def host(kind: str, action: str, version: int, name: str = "far") -> dict[str, Any]:
    """A rule without a tunnel."""
    network = {4: "203.0.113.0/24", 6: "2001:db8:9::/64"}[version]
    filters = [{"source": "me", "destination": network}]
    more = {"authentication": [{"psk": "peer"}]} if action == "require-security" else {}
    return {"name": name, "filters": filters, "action": action, "connections": kind, **more}


def test_a_rule_for_each_pair_of_hosts_is_for_hosts_of_its_type_and_follows_a_route(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """Another rule blocks them by the other type. Their SA isn't used there, and isn't kept."""
    plug(sites, version)
    sites.run("gb", ["ip", "address", "add", FAR[version], "dev", "lo"])
    of_b = {"name": "back", "filters": [{"source": "me", "destination": GA_WAN[version]}]}
    of_b |= {"action": "require-security", "authentication": [{"psk": "peer"}]}

    def move(link: str) -> None:
        way = ["via", VIA[link][version], "src", GA_WAN[version]]
        sites.run("ga", ["ip", "route", "replace", FAR[version], *way])

    move("wan0")
    rules = host("lan", "require-security", version), host("remote-access", "block", version, "not-by-road")
    with daemons(sites, tmp_path, files(*rules), files(of_b)) as (a, _, _, ppp):
        assert answers(sites, "ga", FAR[version]) == 3
        assert up(a) == {"far"}
        move("ppp0")
        eventually(lambda: not a.children(), "the SA of the rule that isn't for it any more goes")
        assert silent(sites, "ga", FAR[version])
        told = a.ctl("explain", GA_WAN[version], FAR[version])["outbound"]
        assert (told["verdict"], told["rule"]) == ("block", "not-by-road")
        assert ppp.kinds()["ESP in UDP"] == 0
        move("wan0")
        eventually(lambda: answers(sites, "ga", FAR[version], 1, patience=1) == 1, "it carries again")


def test_what_a_host_protects_leaves_from_the_address_and_by_the_link_that_the_kernel_chooses(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """Natively and in transport mode; each address that is chosen has SAs of its own."""
    plug(sites, version)
    sites.run("gb", ["ip", "address", "add", FAR[version], "dev", "lo"])
    ends = [{"source": "me", "destination": ends[version]} for ends in (GA_WAN, GA_PPP)]
    back = {"name": "back", "filters": ends, "action": "require-security", "authentication": [{"psk": "peer"}]}
    native = {"encapsulation": "native"}
    of_a = files(host("all", "require-security", version) | native)
    with daemons(sites, tmp_path, of_a, files(back | native), native="ESP") as (a, _, wan, ppp):
        chosen = [("wan0", GA_WAN, wan, ppp), ("ppp0", GA_WAN, ppp, wan), ("ppp0", GA_PPP, ppp, wan)]
        for link, source, wire, other in chosen:
            sites.run("ga", ["ip", "route", "replace", FAR[version], "via", VIA[link][version], "src", source[version]])
            here = {"wan0": GA_WAN, "ppp0": GA_PPP}[link][version]
            if source[version] != here:
                sites.run("gb", ["ip", "route", "replace", source[version], "via", here])
            count, elsewhere = esp(wire) + 6, esp(other)
            assert answers(sites, "ga", FAR[version]) == 3
            eventually(partial(crossed, wire, count), "three go, and three come back")
            assert (esp(wire), esp(other)) == (count, elsewhere)
        assert {child["name"]: (child["mode"], child["out"]["packets"]) for child in a.children()} == {
            f"far/1@{FAR[version]},{GA_WAN[version]}": ("transport", 6),
            f"far/1@{FAR[version]},{GA_PPP[version]}": ("transport", 3),
        }


def esp(wire: Wire) -> int:
    """Native packets that have crossed."""
    return sum(count for what, count in wire.kinds().items() if what.startswith("ESP "))


def crossed(wire: Wire, count: int) -> bool:
    """Whether so many native packets have."""
    return esp(wire) >= count


def test_who_calls_from_anywhere_is_answered_by_the_type_of_his_way_alone(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    plug(sites, version)
    lead(sites, version, "ppp0")
    roads = tunnel("a", version, "ppp0", "remote-access")
    roads["tunnel"] = {"local": "any", "remote": "any"}
    near, far = (files(tunnel("b", version, link, "all")) for link in ("wan0", "ppp0"))
    with daemons(sites, tmp_path, files(roads), near) as (a, b, _, _):
        assert silent(sites, "hb", HA[version])
        assert a.children() == []
        b.write("policy.yaml", far["policy.yaml"])
        b.ctl("reload")
        assert answers(sites, "hb", HA[version]) == 3
        assert answers(sites, "ha", HB[version]) == 3
        assert up(a) == {"by-ppp0"}
        assert a.ctl("explain", HA[version], HB[version])["outbound"]["verdict"] == "protect"


@pytest.mark.parametrize(("remote", "carries"), [("[]", True), ("[wan0]", False)], ids=["lan", "remote access"])
def test_a_block_for_one_type_is_an_exception_from_a_tunnel_for_all(
    sites: Sites, tmp_path: Path, version: int, remote: str, carries: bool
) -> None:
    """Either way, and it is one only if they are reached by its type."""
    near = {"name": "near", "filters": [{"source": NET_A[version], "destination": HB[version]}], "action": "block"}
    of_a = files({**near, "connections": "remote-access"}, rule("a", inside=(version,)))
    of_a["policy.yaml"] += f"settings: {{connections: {{remote_access: {remote}}}}}\n"
    with pair(sites, tmp_path, of_a, files(rule("b", inside=(version,)))) as both:
        if carries:
            assert both.carries(version)
        else:
            assert silent(sites, "ha", HB[version])
            assert silent(sites, "hb", HA[version])
        told = both.a.ctl("explain", HA[version], HB[version])["outbound"]
        assert (told["verdict"], told["rule"]) == (("protect", "site") if carries else ("block", "near"))
        assert answers(sites, "ha", GB_LAN[version]) == 3
