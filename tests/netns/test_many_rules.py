"""A floor of many rules, which is trees of rules, does on a kernel what one of few rules does.

Each of these tests sends the same packets once more at its end, with the floor removed, and sees them pass.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from ipsecd.io.nftables import Nftables
from ipsecd.policy.floor import TABLE, entry_counters, ruleset
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Selector
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.flood import Flood, in_clear
from tests.netns.gateway import Gateway, between_sites, entry
from tests.netns.packets import fragments, ping, tcp, udp
from tests.netns.places import GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
FRAGMENTED = b"<fragment>"
FENCE = b"<uncovered packet>"
PASSES = b"<permitted packet>"
ACTIONS = [Action.PROTECT, Action.BLOCK]
NEIGHBOURS = {4: "10.2.{}.0/24", 6: "fd02:0:0:{}::/64"}


def among_others(*entries: Entry) -> Plan:
    """These entries, and before each other kind of them many that cover what lies near."""
    others: list[Entry] = []
    actions = cycle(Action)
    for version in (4, 6):
        near = NET_A[version]
        for number in range(1, 31):
            far = NEIGHBOURS[version].format(number)
            kinds = [
                (0, (0, 65_535)),
                (6, (80, 80)),
                (17, (1_000 + number, 2_000)),
                ({4: 1, 6: 58}[version], (0, 65_535)),
            ]
            others += [
                entry(next(actions), Selector.net(near, protocol), Selector.net(far, protocol, ports), f"o/{version}")
                for protocol, ports in kinds
            ]
    named = [replace(each, name=f"others/{number}", rule="others") for number, each in enumerate(others)]
    return Plan("many", entries=(*named, *entries))


class Whole(Nftables):
    """Writes the whole table, though less would do."""

    async def _rewritten(self, *_: object) -> bool:
        return False


def test_nothing_passes_while_the_floor_is_replaced(sites: Sites, tmp_path: Path, version: int) -> None:
    """Neither what is forwarded nor what the gateway itself sends, as fast as it can be sent."""
    plan, far = among_others(*between_sites(Action.BLOCK).entries), HB[version]
    nftables = Whole(TABLE)
    with (
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[version], far), gap=0.0),
        Flood(sites, "ga", (GA_LAN[version], far), gap=0.0),
    ):
        for number in range(30):
            gateway.do(nftables.replace(ruleset(plan, ("wan0", f"other{number}"))))
        assert in_clear(wan) == []
        gateway.do(nftables.remove())
        eventually(lambda: in_clear(wan), "without a floor it leaves in clear")


def held_in_a_tree(gateway: Gateway, name: str) -> bool:
    """Whether a chain goes to others that differ by addresses."""
    listing = gateway.sites.run("ga", ["nft", "list", "chain", "inet", "ipsecd", name]).stdout
    return re.search(r"goto b[0-9a-f]{32}", listing) is not None


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_forwarded_leaves_in_clear(sites: Sites, tmp_path: Path, version: int, action: Action) -> None:
    plan = among_others(*between_sites(action).entries)
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        assert held_in_a_tree(gateway, f"leaving_crossing_clear_v{version}")
        traffic = [packet(HA[version], HB[version], MARK) for packet in (udp, tcp, ping)]
        send(sites, "ha", *traffic, *fragments(HA[version], HB[version], MARK + FRAGMENTED))
        send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        counters = entry_counters(plan, gateway.counters())[f"rule/{version}"]
        if action is Action.PROTECT:
            assert len(gateway.wait_in_tun(MARK, 4)) >= 4
            assert counters.hits >= 4
        else:
            assert counters.drops >= 4
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", udp(HA[version], HB[version], CONTROL), *fragments(HA[version], HB[version], FRAGMENTED))
        wan.wait_for(CONTROL)
        wan.wait_for(FRAGMENTED)


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_of_the_gateway_itself_leaves_in_clear(
    sites: Sites, tmp_path: Path, version: int, action: Action
) -> None:
    with (
        Gateway(sites, tmp_path, among_others(*between_sites(action).entries)) as gateway,
        Capture(sites, "ga", "wan0") as wan,
    ):
        for packet in (udp, tcp, ping):
            with contextlib.suppress(OSError):  # the floor tells the sender
                send(sites, "ga", packet(GA_LAN[version], HB[version], MARK))
        send(sites, "ga", udp(GA_WAN[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ga", udp(GA_LAN[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_in_clear_reaches_the_inside(sites: Sites, tmp_path: Path, version: int, action: Action) -> None:
    with (
        Gateway(sites, tmp_path, among_others(*between_sites(action).entries)) as gateway,
        Capture(sites, "ha", "eth0") as lan,
    ):
        traffic = [packet(HB[version], HA[version], MARK) for packet in (udp, tcp, ping)]
        send(sites, "hb", *traffic, *fragments(HB[version], HA[version], MARK + FRAGMENTED))
        send(sites, "gb", udp(GB_WAN[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", udp(HB[version], HA[version], CONTROL), *fragments(HB[version], HA[version], FRAGMENTED))
        lan.wait_for(CONTROL)
        lan.wait_for(FRAGMENTED)


def test_of_flows_inside_each_other_the_first_one_decides(sites: Sites, tmp_path: Path, version: int) -> None:
    """A port is permitted, the rest of a host is blocked, and the network around it is permitted."""
    near, far, host = NET_A[version], NET_B[version], HB[version]
    nested = (
        entry(Action.PERMIT, Selector.net(near, 17), Selector.net(host, 17, (7, 7)), "port/1"),
        entry(Action.BLOCK, Selector.net(near), Selector.net(host), "host/1"),
        entry(Action.PERMIT, Selector.net(near), Selector.net(far), "network/1"),
        entry(Action.BLOCK, Selector.net("0.0.0.0/0" if version == 4 else "::/0"),
              Selector.net(far), "rest/1"),
    )  # fmt: skip
    plan = among_others(*nested)
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        other = f"{HB[version][:-1]}9"
        send(sites, "ha", udp(HA[version], host, MARK, 4_001, 9), *fragments(HA[version], host, MARK))
        send(sites, "ha", udp(HA[version], host, PASSES, 4_001, 7), udp(HA[version], other, PASSES, 4_001, 9))
        send(sites, "ga", udp(GA_WAN[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        assert len([seen for seen in wan.seen if seen.outgoing and PASSES in seen.packet]) == 2
        found = entry_counters(plan, gateway.counters())
        assert found["port/1"].hits == found["network/1"].hits == 1
        assert found["host/1"].drops >= 2  # and perhaps what the host says of the permitted port
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", udp(HA[version], host, CONTROL, 4_001, 9))
        wan.wait_for(CONTROL)
