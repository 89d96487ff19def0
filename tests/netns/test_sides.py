"""A packet with a borrowed address gets neither into the tunnel nor inside (CVE-2019-14899), whatever rp_filter."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ipsecd.policy.plan import Action, Plan
from ipsecd.policy.sides import WRONG_SIDE
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, inject, send
from tests.netns.gateway import Gateway, between_sites, entry
from tests.netns.packets import fragments, halves, ping, tcp, udp
from tests.netns.places import FAMILY, GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [
    pytest.mark.root,
    pytest.mark.parametrize("version", [4, 6]),
    pytest.mark.parametrize("rp_filter", [0, 1, 2]),
]

MARK = b"<borrowed address>"
CONTROL = b"<control packet>"
FENCE = b"<honest packet>"


def test_from_outside_as_if_from_our_hosts_it_never_enters_the_tunnel(
    tmp_path: Path, version: int, rp_filter: int
) -> None:
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ga", "wan0") as wan,
    ):
        spoofed = [udp(HA[version], HB[version], MARK), tcp(HA[version], HB[version], MARK)]
        spoofed += [ping(HA[version], HB[version], MARK), *fragments(HA[version], HB[version], MARK)]
        spoofed += [udp(GA_LAN[version], HB[version], MARK)]
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), *spoofed)
        wan.wait(lambda seen: MARK in seen.packet, "a packet with a borrowed address")
        send(sites, "ha", *fragments(HA[version], HB[version], FENCE))
        gateway.wait_in_tun(FENCE)
        assert gateway.out_of_tun(MARK) == []
        assert not [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet]
        # Without our check, rp_filter alone stops some of these, and for IPv6 none.
        gateway.without("entering", WRONG_SIDE)
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), udp(HA[version], HB[version], CONTROL))
        if version == 6 or rp_filter != 1:
            gateway.wait_in_tun(CONTROL)


def test_from_outside_as_if_from_the_far_side_it_never_comes_in(tmp_path: Path, version: int, rp_filter: int) -> None:
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ha", "eth0") as lan,
        Capture(sites, "ga", "wan0") as wan,
    ):
        spoofed = [udp(HB[version], HA[version], MARK), tcp(HB[version], HA[version], MARK)]
        spoofed += [ping(HB[version], GA_LAN[version], MARK), *fragments(HB[version], HA[version], MARK)]
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), *spoofed)
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), udp(GB_WAN[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        assert gateway.out_of_tun(MARK) == []
        assert not [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet]
        gateway.do(gateway.nftables.remove())
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), udp(HB[version], HA[version], CONTROL))
        lan.wait_for(CONTROL)


def test_from_inside_as_if_from_the_far_side_it_gets_nowhere(tmp_path: Path, version: int, rp_filter: int) -> None:
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ga", "lan0") as lan,
    ):
        to_ga = sites.mac("ga", "lan0")
        inject(
            sites, "ha", "eth0", to_ga, udp(HB[version], HA[version], MARK), ping(HB[version], GA_LAN[version], MARK)
        )
        inject(sites, "ha", "eth0", to_ga, ping(HA[version], GA_WAN[version], FENCE))
        lan.wait(lambda seen: seen.outgoing and FENCE in seen.packet, "an answer to an honest ping")
        assert not [seen for seen in lan.seen if seen.outgoing and MARK in seen.packet]
        assert gateway.out_of_tun(MARK) == []
        assert gateway.counters()[f"drops.rule/{version}"] == 2


HONEST, FORGED, COMPLETE = b"<honest>", b"<forged>", b"<follow>"


def test_a_fragment_from_outside_is_joined_neither_with_those_out_of_the_tunnel_nor_with_those_into_it(
    tmp_path: Path, version: int, rp_filter: int
) -> None:
    """The kernel would do that, and take the whole for what its last fragment was."""
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "ha", "eth0") as lan,
    ):
        for source, destination in ((HB, HA), (HA, HB)):
            _, forged = halves(source[version], destination[version], HONEST, FORGED)
            inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), forged)
            wan.wait(lambda seen, forged=forged: seen.packet == forged, "a forged fragment")
        first, last = halves(HB[version], HA[version], HONEST, COMPLETE)
        gateway.into_tun([first, last])
        lan.wait_for(COMPLETE)
        assert lan.count(HONEST) >= 1
        inject(sites, "ha", "eth0", sites.mac("ga", "lan0"), *halves(HA[version], HB[version], HONEST, COMPLETE))
        assert gateway.wait_in_tun(COMPLETE)
        assert lan.count(FORGED) == 0
        assert gateway.out_of_tun(FORGED) == []
        counted = gateway.counters()
        assert counted[f"drops.rule/{version}"] == counted[WRONG_SIDE] == 1


REORDERED = b"ol<flow>"  # words of the same sum as COMPLETE


def test_an_exempt_fragment_to_us_from_outside_is_joined_with_none_out_of_the_tunnel(
    tmp_path: Path, version: int, rp_filter: int
) -> None:
    """Of IPv6 a later fragment may claim any protocol: the first one decides."""

    def listen() -> socket.socket:
        opened = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
        opened.bind((GA_LAN[version], 4001))
        opened.settimeout(10)
        return opened

    first, last = halves(HB[version], GA_LAN[version], HONEST, COMPLETE)
    _, forged = halves(HB[version], GA_LAN[version], HONEST, REORDERED)
    as_ah = forged[:40] + bytes([51]) + forged[41:]
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        sites.inside("ga", listen) as heard,
    ):

        def forge(packet: bytes, times: int) -> None:
            inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), packet)
            wan.wait(lambda _: wan.count(packet) == times, "a forged fragment")

        for claim in [forged] if version == 4 else [forged, as_ah]:
            forge(claim, 1)
            gateway.into_tun([first])
            forge(claim, 2)
            gateway.into_tun([last])
            assert heard.recv(2_000) == HONEST + COMPLETE
        # Without a zone of their own the kernel joins them with what came out of the tunnel.
        gateway.without("joined_apart", "ct zone")
        forge(forged, 3)
        gateway.into_tun([first])
        assert heard.recv(2_000) == HONEST + REORDERED


def test_a_fragment_from_outside_makes_no_exception_of_what_is_protected(
    tmp_path: Path, version: int, rp_filter: int
) -> None:
    """With a first fragment to a port that passes in clear, the rest of another packet would. What is fragmented and
    passes in clear by itself still does, either way."""
    here, there = Selector.net(NET_A[version]), Selector.net(NET_B[version])
    passing = Selector.net(NET_B[version], 17, (4001, 4001))
    plan = Plan("test", entries=(entry(Action.PERMIT, here, passing), entry(Action.PROTECT, here, there, "rule/2")))
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "ha", "eth0") as lan,
    ):
        to_ga, from_lan = sites.mac("ga", "wan0"), sites.mac("ga", "lan0")
        first, _ = halves(HA[version], HB[version], FORGED, COMPLETE)
        inject(sites, "gb", "wan0", to_ga, first)
        wan.wait(lambda seen: seen.packet == first, "a forged fragment")
        _, last = halves(HA[version], HB[version], FORGED, HONEST)
        inject(sites, "ha", "eth0", from_lan, last)
        inject(sites, "ha", "eth0", from_lan, udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(HONEST) == 0
        assert gateway.counters()[WRONG_SIDE] == 1
        inject(sites, "ha", "eth0", from_lan, *fragments(HA[version], HB[version], CONTROL))
        wan.wait(lambda seen: seen.outgoing and CONTROL in seen.packet, "a fragmented packet that may leave in clear")
        inject(sites, "gb", "wan0", to_ga, *fragments(HB[version], HA[version], CONTROL, sport=4001))
        lan.wait_for(CONTROL)
