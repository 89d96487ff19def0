"""A rule for one type of connection covers what goes by interfaces of that type, either way, and nothing else.

The link between the gateways is of a local network here, unless the policy names it as remote access. So each test
has its control in the other type: the same packets, and the rule isn't for them.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecd.policy.connections import Interfaces
from ipsecd.policy.floor import UNKNOWN_INTERFACE, entry_counters
from ipsecd.policy.plan import Action, Entry, Plan, Settings
from ipsecd.policy.sides import NOT_INSIDE
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, send
from tests.netns.gateway import Gateway, entry
from tests.netns.packets import fragments, ping, udp
from tests.netns.pair import files, pair, rule
from tests.netns.places import EVERYTHING, GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

FENCE = b"<uncovered packet>"
REMOTE = Settings(remote_access=("wan0",))
types = pytest.mark.parametrize(
    ("kind", "settings", "covered"),
    [
        ("remote-access", REMOTE, True),
        ("lan", Settings(), True),
        ("remote-access", Settings(), False),
        ("lan", REMOTE, False),
    ],
    ids=["remote", "lan", "not remote", "not lan"],
)


def between(version: int, action: Action, kind: str, name: str = "rule/1") -> Entry:
    networks = Selector.net(NET_A[version]), Selector.net(NET_B[version])
    return replace(entry(action, *networks, name), connections=kind)


def everything(version: int, action: Action) -> Entry:
    return entry(action, *[Selector.net(EVERYTHING[version])] * 2, "all/1")


@types
@pytest.mark.parametrize("action", [Action.BLOCK, Action.PROTECT])
def test_only_what_goes_by_that_type_is_covered(
    sites: Sites, tmp_path: Path, version: int, action: Action, kind: str, settings: Settings, covered: bool
) -> None:
    plan = Plan("test", entries=(between(version, action, kind),), settings=settings)
    with (
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "ha", "eth0") as lan,
    ):
        send(sites, "ha", udp(HA[version], HB[version], b"<passed on>"))
        send(sites, "ha", *fragments(HA[version], HB[version], b"<in pieces>"))
        with contextlib.suppress(PermissionError):
            send(sites, "ga", udp(GA_LAN[version], HB[version], b"<of its own>"))
        send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        seen = {words: wan.count(words) for words in (b"<passed on>", b"<in pieces>", b"<of its own>")}
        assert all(count == 0 if covered else count > 0 for count in seen.values()), seen
        if covered and action is Action.PROTECT:
            for words in seen:
                gateway.wait_in_tun(words)
        send(sites, "hb", udp(HB[version], HA[version], b"<to a host>"), ping(HB[version], GA_LAN[version], b"<to it>"))
        send(sites, "gb", udp(GB_WAN[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert (lan.count(b"<to a host>") > 0) is not covered
        wan.read()
        assert any(each.outgoing and b"<to it>" in each.packet for each in wan.seen) is not covered


@types
def test_what_it_does_not_cover_falls_to_the_next(
    sites: Sites, tmp_path: Path, version: int, kind: str, settings: Settings, covered: bool
) -> None:
    """A tunnel for one type, and a block behind it; and a permit for one type before a block."""
    open_entry = entry(Action.PERMIT, Selector.net(GA_WAN[version]), Selector.net(GB_WAN[version]), "open/1")
    rules = (
        replace(open_entry, connections=kind),
        between(version, Action.PROTECT, kind, "site/1"),
        everything(version, Action.BLOCK),
    )
    plan = Plan("test", entries=rules, settings=settings)
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "gb", "wan0") as far:
        send(sites, "ha", udp(HA[version], HB[version], b"<passed on>"))
        with contextlib.suppress(PermissionError):
            send(sites, "ga", udp(GA_LAN[version], HB[version], b"<of its own>"))
        with contextlib.suppress(PermissionError):
            send(sites, "ga", ping(GA_WAN[version], GB_WAN[version], b"<permitted>"))
        if covered:
            far.wait(lambda seen: seen.outgoing and b"<permitted>" in seen.packet, "an answer")
            gateway.wait_in_tun(b"<passed on>")
            gateway.wait_in_tun(b"<of its own>")
        counted = entry_counters(plan, gateway.counters())
        assert counted["site/1"].hits == (2 if covered else 0)
        assert (counted["all/1"].drops >= 3) is not covered
        gateway.do(gateway.nftables.remove())
        send(sites, "ga", ping(GA_WAN[version], GB_WAN[version], FENCE))
        far.wait_for(FENCE)
        assert far.count(b"<permitted>") == (2 if covered else 0)
        assert far.count(b"<passed on>") == far.count(b"<of its own>") == 0


def test_what_a_permit_for_another_type_does_not_cover_is_protected(sites: Sites, tmp_path: Path, version: int) -> None:
    """The permit stands first; the SPD, which sees no interface, doesn't have it."""
    near = {"name": "near", "filters": [{"source": NET_A[version], "destination": HB[version]}], "action": "permit"}
    of_a = files({**near, "connections": "lan"}, rule("a", inside=(version,)))
    of_a["policy.yaml"] += "settings: {connections: {remote_access: [wan0]}}\n"
    with pair(sites, tmp_path, of_a, files(rule("b", inside=(version,)))) as both:
        assert both.carries(version)
        told = both.a.ctl("explain", HA[version], HB[version])["outbound"]
        assert (told["verdict"], told["entry"]) == ("protect", "site/1")


@types
def test_what_came_out_of_the_tunnel_goes_back_by_the_type_of_its_way(
    sites: Sites, tmp_path: Path, version: int, kind: str, settings: Settings, covered: bool
) -> None:
    """Its mark leads into the TUN, and isn't asked. It came out, so it may be passed on inside."""
    branch = {4: "10.7.0.7", 6: "fd07::7"}[version]
    onward = replace(
        entry(Action.PROTECT, Selector.net(branch), Selector.net(NET_B[version]), "onward/1"), connections=kind
    )
    plan = Plan("test", entries=(onward,), settings=settings)
    with Gateway(sites, tmp_path, plan) as gateway:
        gateway.into_tun([udp(branch, HB[version], b"<onward>")])
        if covered:
            gateway.wait_in_tun(b"<onward>")
        counters = gateway.counters()
        assert (entry_counters(plan, counters)["onward/1"].hits, counters.get(NOT_INSIDE, 0)) == (
            (1, 0) if covered else (0, 1)
        )


def test_an_interface_that_is_new_carries_nothing_until_it_is_known(sites: Sites, tmp_path: Path, version: int) -> None:
    """Either way, passed on or its own. Known, it is of a local network, and the rule isn't for it."""
    plan = Plan("test", entries=(between(version, Action.BLOCK, "remote-access"),), settings=REMOTE)
    near, far = ({4: "198.51.100.1", 6: "2001:db8:7::1"}[version], {4: "198.51.100.2", 6: "2001:db8:7::2"}[version])
    length = {4: 24, 6: 64}[version]

    def plug() -> None:
        peer = sites.namespace("gb")
        sites.run("ga", ["ip", "link", "add", "new0", "type", "veth", "peer", "name", "new0", "netns", peer])
        for place, address in (("ga", near), ("gb", far)):
            nodad = ["nodad"] if version == 6 else []
            sites.run(place, ["ip", "address", "add", f"{address}/{length}", "dev", "new0", *nodad])
            sites.run(place, ["ip", "link", "set", "new0", "up"])
        sites.run("ga", ["ip", "route", "add", HB[version], "via", far])
        sites.run("gb", ["ip", "route", "add", HA[version], "via", near])

    with Gateway(sites, tmp_path, plan) as gateway:
        plug()
        with Capture(sites, "ga", "new0") as link, Capture(sites, "ha", "eth0") as lan:

            def talk(words: bytes) -> None:
                send(sites, "ha", udp(HA[version], HB[version], words + b" on"))
                with contextlib.suppress(PermissionError):
                    send(sites, "ga", udp(near, far, words + b" out"))
                send(sites, "hb", udp(HB[version], HA[version], words + b" in"))
                send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE + words))
                send(sites, "gb", udp(GB_WAN[version], GA_LAN[version], FENCE))

            talk(b"<new>")
            assert gateway.counters()[UNKNOWN_INTERFACE] >= 2
            assert lan.count(b"<new> in") == 0
            assert all(not seen.outgoing for seen in link.seen if b"<new>" in seen.packet)
            gateway.raise_floor()
            talk(b"<known>")
            lan.wait_for(b"<known> in")
            for way in (b" on", b" out"):
                link.wait_for(b"<known>" + way)


def test_a_name_that_is_new_carries_nothing_until_it_is_known(sites: Sites, tmp_path: Path, version: int) -> None:
    """The rule is for the name that the link between the gateways gets, and no longer for the one it had."""
    settings = Settings(remote_access=("far0",))
    plan = Plan("test", entries=(between(version, Action.BLOCK, "remote-access"),), settings=settings)

    def rename(old: str, new: str) -> None:
        for words in (["down"], ["name", new]):
            sites.run("ga", ["ip", "link", "set", old, *words])
        sites.run("ga", ["ip", "link", "set", new, "up"])
        if version == 6:
            sites.run("ga", ["ip", "address", "add", f"{GA_WAN[6]}/64", "dev", new, "nodad"])
        sites.run("ga", ["ip", "route", "replace", HB[version], "via", GB_WAN[version]])

    def passes(words: bytes) -> bool:
        send(sites, "ha", udp(HA[version], HB[version], words))
        with Capture(sites, "ha", "eth0") as lan:
            send(sites, "ha", ping(HA[version], GA_LAN[version], FENCE + words))
            lan.wait(lambda seen: not seen.outgoing and FENCE + words in seen.packet, "an answer of the gateway")
        return far.count(words) > 0

    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "gb", "wan0") as far:
        assert passes(b"<first>")
        rename("wan0", "far0")
        assert not passes(b"<renamed>")
        unknown = gateway.counters()[UNKNOWN_INTERFACE]
        assert unknown >= 1
        gateway.raise_floor()
        assert not passes(b"<of the other type>")
        assert entry_counters(plan, gateway.counters())["rule/1"].drops == 1
        rename("far0", "wan0")
        assert not passes(b"<renamed back>")
        gateway.raise_floor()
        assert passes(b"<as before>")


def test_the_kernel_tells_the_kind_of_an_interface(sites: Sites, tmp_path: Path, version: int) -> None:
    plan = Plan("test", entries=(between(version, Action.BLOCK, "remote-access"),))
    sites.run("ga", ["ip", "tuntap", "add", "dev", "road0", "mode", "tun"])
    with Gateway(sites, tmp_path, plan) as gateway:
        links = [(link.name, link.kind) for link in gateway.do(gateway.netlink.links())]
        assert Interfaces.of(plan.settings, links) == Interfaces(("lan0", "wan0"), ("road0",))
        assert ("ipsecd0", "tun") in links
