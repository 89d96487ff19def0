"""Headers and marks that others rewrite on a packet's way, or that name another destination, hide nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP, IPOption_LSRR, IPOption_SSRR
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting

from ipsecd.policy.floor import BESIDE_THE_TUN, SOURCE_ROUTED
from ipsecd.policy.plan import Action, Plan
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, inject, send
from tests.netns.gateway import Gateway, between_sites, entry, others_table
from tests.netns.packets import udp
from tests.netns.places import GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
FENCE = b"<uncovered packet>"
MASQUERADE = ("nat hook postrouting priority srcnat", 'oifname "wan0" masquerade')
FAMILY_NAME = {4: "ip", 6: "ip6"}


def transmit(target: str, data: bytes, *, source: str = "", device: str = "") -> None:
    """Send from an ordinary UDP socket, or try to."""
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source:
            opened.bind((source, 0))
        with contextlib.suppress(OSError):
            opened.sendto(data, (target, 30_080))


def fence(sites: Sites, version: int, wan: Capture) -> None:
    """Everything sent before has passed ga by now, or never will."""
    send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
    wan.wait_for(FENCE)


@pytest.mark.parametrize("action", [Action.PROTECT, Action.BLOCK])
def test_an_address_of_our_own_that_nat_makes_another_is_judged_as_that(
    sites: Sites, tmp_path: Path, version: int, action: Action
) -> None:
    """Routed to lo before it was rewritten, and covered after; masquerading hides it from the last hook."""
    ip = FAMILY_NAME[version]
    redirect = f"{ip} daddr {GA_LAN[version]} udp dport 30080 dnat {ip} to {HB[version]}"
    others_table(sites, ("nat hook output priority -100", redirect), MASQUERADE)
    with Gateway(sites, tmp_path, between_sites(action)) as gateway, Capture(sites, "ga", "wan0") as wan:
        sites.inside("ga", transmit, GA_LAN[version], MARK)
        fence(sites, version, wan)
        assert wan.count(MARK) == 0
        if action is Action.PROTECT:
            gateway.wait_in_tun(MARK)
        gateway.do(gateway.nftables.remove())
        sites.inside("ga", transmit, GA_LAN[version], CONTROL)
        wan.wait_for(CONTROL)


def test_what_goes_to_ourselves_by_a_wire_is_judged(sites: Sites, tmp_path: Path, version: int) -> None:
    """A socket bound to a device sends an address of ours out there."""
    others_table(sites, MASQUERADE)
    local, everybody = Selector.net(NET_A[version]), Selector.net({4: "10.0.0.0/8", 6: "fd00::/8"}[version])
    plan = Plan("test", entries=(entry(Action.PROTECT, local, everybody),))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        for neighbour in (GA_LAN[version], GB_WAN[version]):
            words = ["lladdr", sites.mac("gb", "wan0"), "dev", "wan0"]
            sites.run("ga", ["ip", "neigh", "replace", neighbour, *words])
        sites.inside("ga", transmit, GA_LAN[version], MARK, source=GA_LAN[version], device="wan0")
        fence(sites, version, wan)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        sites.inside("ga", transmit, GA_LAN[version], CONTROL, source=GA_LAN[version], device="wan0")
        wan.wait_for(CONTROL)


def bound_to_the_wire(sites: Sites, version: int) -> None:
    words = ["lladdr", sites.mac("gb", "wan0"), "dev", "wan0"]
    sites.run("ga", ["ip", f"-{version}", "neigh", "replace", HB[version], *words])


def rules_flushed(sites: Sites, version: int) -> None:
    sites.run("ga", ["ip", f"-{version}", "rule", "flush"])
    sites.run("ga", ["ip", f"-{version}", "rule", "add", "pref", "32766", "lookup", "main"])


def routing_rule_before_ours(sites: Sites, version: int) -> None:
    sites.run("ga", ["ip", f"-{version}", "rule", "add", "pref", "10", "lookup", "main"])


@pytest.mark.parametrize("circumstance", [bound_to_the_wire, rules_flushed, routing_rule_before_ours])
def test_a_mark_rewritten_before_source_nat_hides_nothing(
    sites: Sites, tmp_path: Path, version: int, circumstance: Callable[[Sites, int], None]
) -> None:
    others_table(sites, ("filter hook postrouting priority mangle", "meta mark set 0x10"), MASQUERADE)
    device = "wan0" if circumstance is bound_to_the_wire else ""
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ga", "wan0") as wan:
        circumstance(sites, version)
        sites.inside("ga", transmit, HB[version], MARK, source=GA_LAN[version], device=device)
        fence(sites, version, wan)
        assert wan.count(MARK) == 0
        assert gateway.counters()[BESIDE_THE_TUN] == 1
        gateway.without("to_wire_unchanged", BESIDE_THE_TUN)
        sites.inside("ga", transmit, HB[version], CONTROL, source=GA_LAN[version], device=device)
        wan.wait_for(CONTROL)


def test_a_destination_rewritten_on_the_way_out_is_judged_again(sites: Sites, tmp_path: Path, version: int) -> None:
    ip, decoy = FAMILY_NAME[version], {4: "10.9.0.9", 6: "fd09::9"}[version]
    others_table(sites, ("filter hook postrouting priority 0", f"{ip} daddr {decoy} {ip} daddr set {HA[version]}"))
    sites.run("ga", ["ip", "route", "add", decoy, "dev", "lan0"])
    sites.run("ga", ["ip", "neigh", "replace", decoy, "lladdr", sites.mac("ha", "eth0"), "dev", "lan0"])
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ha", "eth0") as lan:
        send(sites, "hb", udp(HB[version], decoy, MARK))
        send(sites, "gb", udp(GB_WAN[version], decoy, FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.without("to_wire", "jump arriving")
        send(sites, "hb", udp(HB[version], decoy, CONTROL))
        lan.wait_for(CONTROL)


def by_way_of(version: int, source: str, first: str, last: str, mark: bytes, *, strict: bool = False) -> bytes:
    """A packet to ``first`` whose source route leads on to ``last``."""
    ports = UDP(sport=4000, dport=4001) / mark
    if version == 6:
        return bytes(IPv6(src=source, dst=first) / IPv6ExtHdrSegmentRouting(addresses=[last, first], segleft=1) / ports)
    option = (IPOption_SSRR if strict else IPOption_LSRR)(routers=[last])
    return bytes(IP(src=source, dst=first, options=[option]) / ports)


def follow_source_routes(sites: Sites, place: str) -> None:
    for interface in ("all", "default", "lan0", "wan0"):
        sites.sysctl(place, f"ipv4/conf/{interface}/accept_source_route", 1)
        sites.sysctl(place, f"ipv6/conf/{interface}/seg6_enabled", 1)


def test_a_source_route_leads_nobody_inside(sites: Sites, tmp_path: Path, version: int) -> None:
    follow_source_routes(sites, "ga")
    plan = Plan("test", entries=between_sites(Action.PROTECT).entries[version == 6 :][:1])
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ha", "eth0") as lan:
        to_ga, first, last = sites.mac("ga", "wan0"), GA_WAN[version], HA[version]
        inject(sites, "gb", "wan0", to_ga, by_way_of(version, HB[version], first, last, MARK))
        inject(sites, "gb", "wan0", to_ga, udp(GB_WAN[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        assert gateway.counters()[SOURCE_ROUTED] == 1
        gateway.do(gateway.nftables.remove())
        inject(sites, "gb", "wan0", to_ga, by_way_of(version, HB[version], first, last, CONTROL))
        lan.wait_for(CONTROL)


def test_a_source_route_leads_nothing_out(sites: Sites, tmp_path: Path, version: int) -> None:
    """Over a router that follows it; neither what is forwarded nor what is our own."""
    for router in ("ga", "gb"):
        follow_source_routes(sites, router)
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "hb", "eth0") as far:
        for place, source in (("ha", HA[version]), ("ga", GA_LAN[version])):
            for strict in (False, True):
                with contextlib.suppress(PermissionError):
                    packet = by_way_of(version, source, GB_WAN[version], HB[version], MARK, strict=strict)
                    send(sites, place, packet)
        send(sites, "gb", udp(GB_WAN[version], HB[version], FENCE))
        far.wait_for(FENCE)
        assert far.count(MARK) == 0
        assert gateway.counters()[SOURCE_ROUTED] == 4
        gateway.do(gateway.nftables.remove())
        for place, source in (("ha", HA[version]), ("ga", GA_LAN[version])):
            mark = CONTROL + place.encode()
            send(sites, place, by_way_of(version, source, GB_WAN[version], HB[version], mark))
            far.wait_for(mark)
