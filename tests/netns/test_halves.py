"""Filters of one direction: two halves of a tunnel are one, and a half alone leaves the other direction to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, inject, send
from tests.netns.packets import time_exceeded, udp
from tests.netns.pair import files, pair, rule
from tests.netns.places import GA_LAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK, FENCE, CONTROL = b"<covered packet>", b"<uncovered packet>", b"<control packet>"


def one_way(side: str, source: str, destination: str, name: str = "site") -> dict[str, Any]:
    """A rule with one filter, for one direction."""
    return rule(side, name, filters=[{"source": source, "destination": destination, "mirrored": False}])


def test_two_rules_of_a_tunnel_as_windows_has_them_are_one_tunnel(sites: Sites, tmp_path: Path, version: int) -> None:
    """And nothing crosses the wire in clear."""
    a, b = NET_A[version], NET_B[version]
    of_a = files(one_way("a", a, b, "out"), one_way("a", b, a, "back"))
    of_b = files(one_way("b", b, a, "out"), one_way("b", a, b, "back"))
    with pair(sites, tmp_path, of_a, of_b) as both:
        assert both.carries(version)
        for end in (both.a, both.b):
            assert [child["name"] for child in end.children()] == ["out/1"]
            assert [rule["state"] for rule in end.ctl("status")["rules"]] == ["up", "up"]
        told = both.a.ctl("explain", HB[version], HA[version])["inbound"]
        assert (told["entry"], told["child"]) == ("back/1", "out/1")


def test_the_way_out_alone_is_protected_and_the_way_back_may_be(sites: Sites, tmp_path: Path, version: int) -> None:
    of_a = files(one_way("a", NET_A[version], NET_B[version]))
    with (
        Ipsecd(sites, "ga", tmp_path / "a", of_a) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files(rule("b", inside=(version,)))),
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "ha", "eth0") as lan,
    ):
        assert answers(sites, "ha", HB[version]) == 3  # the answers come inside the SA
        assert answers(sites, "hb", HA[version]) == 3
        assert len(a.children()) == 1
        to = sites.mac("ga", "wan0")
        inject(sites, "gb", "wan0", to, udp(HB[version], HA[version], CONTROL))
        lan.wait_for(CONTROL)  # and what comes in clear is left alone
        a.ctl("down", "site")
        send(sites, "ha", udp(HA[version], HB[version], MARK))
        inject(sites, "gb", "wan0", to, time_exceeded(GB_WAN[version], udp(HA[version], HB[version], MARK)))
        send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet] == []
        inject(sites, "gb", "wan0", to, udp(GB_WAN[version], HA[version], FENCE))
        lan.wait(lambda seen: not seen.outgoing and FENCE in seen.packet, "a packet that no rule covers")
        assert [seen for seen in lan.seen if not seen.outgoing and MARK in seen.packet] == []


def test_the_way_in_alone_has_to_be_protected_and_answers_leave_in_clear(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    of_a = files(one_way("a", NET_B[version], "me"))
    of_b = files(one_way("b", NET_B[version], GA_LAN[version]))
    with (
        Ipsecd(sites, "ga", tmp_path / "a", of_a) as a,
        Ipsecd(sites, "gb", tmp_path / "b", of_b),
        Capture(sites, "ga", "wan0") as wan,
    ):
        assert answers(sites, "hb", GA_LAN[version]) == 3
        assert len(a.children()) == 1
        wan.read()
        clear = [seen.outgoing for seen in wan.seen if {GA_LAN[version], HB[version]} == ends(seen.packet)]
        assert clear == [True] * 3  # the answers, and no request
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), udp(HB[version], GA_LAN[version], MARK))
        eventually(lambda: a.ctl("policy")["entries"][0]["dropped"] == 1, "what comes in clear is dropped")


def ends(packet: bytes) -> set[str]:
    """Between which addresses an IP packet goes."""
    read = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    return {str(read.src), str(read.dst)}
