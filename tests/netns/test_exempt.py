"""What passes whatever the rules say does its work, and carries nothing else."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NS, IPv6
from scapy.packet import Raw

from ipsecd.policy.plan import Action, Plan
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, inject, send
from tests.netns.gateway import Gateway, between_sites, entry, others_table
from tests.netns.packets import time_exceeded, udp
from tests.netns.places import EVERYTHING, FAMILY, GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_B
from tests.netns.sites import Sites

pytestmark = pytest.mark.root
versions = pytest.mark.parametrize("version", [4, 6])

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
FENCE = b"<uncovered packet>"
DHCP = {4: (68, 67), 6: (546, 547)}  # client, server
SERVERS = {4: "255.255.255.255", 6: "ff02::1:2"}


def block_all(version: int) -> Plan:
    return Plan("test", entries=(entry(Action.BLOCK, *[Selector.net(EVERYTHING[version])] * 2),))


def transmit(source: str, port: int, target: tuple[str, int], data: bytes, *, mark: int = 0, device: str = "") -> None:
    with socket.socket(socket.AF_INET6 if ":" in source + target[0] else socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        opened.bind((source, port))
        opened.sendto(data, target)


@versions
def test_what_must_work_without_keys_works(sites: Sites, tmp_path: Path, version: int) -> None:
    """Under a rule that covers everything: neighbours are found, IKE passes, loopback is left alone."""
    plan = block_all(version)
    with Gateway(sites, tmp_path, plan), Capture(sites, "ga", "wan0") as wan, Capture(sites, "ga", "lo") as loopback:
        sites.run("ga", ["ip", "neigh", "flush", "all"])
        sites.run("gb", ["ip", "neigh", "flush", "all"])
        sites.inside("ga", transmit, GA_WAN[version], 500, (GB_WAN[version], 500), CONTROL, mark=plan.settings.own_mark)
        wan.wait_for(CONTROL)
        sites.inside("ga", transmit, GA_WAN[version], 5000, (GA_WAN[version], 5001), b"<to itself>")
        loopback.wait_for(b"<to itself>")
        if version == 4:
            sites.inside("ga", transmit, "", 5000, ("127.255.255.255", 5001), b"<to all here>", device="lo")
            loopback.wait_for(b"<to all here>")
        with pytest.raises(PermissionError):
            sites.inside("ga", transmit, GA_WAN[version], 5000, (GB_WAN[version], 5001), MARK)
        assert wan.count(MARK) == 0


@versions
def test_dhcp_passes_on_the_link_and_no_further(sites: Sites, tmp_path: Path, version: int) -> None:
    client, server = DHCP[version]
    anyone = {4: "0.0.0.0", 6: "::"}[version]
    with Gateway(sites, tmp_path, block_all(version)), Capture(sites, "ga", "wan0") as wan:
        sites.inside("ga", transmit, anyone, client, (SERVERS[version], server), CONTROL, device="wan0")
        wan.wait_for(CONTROL)
        for port in (client, server):
            with pytest.raises(PermissionError):
                sites.inside("ga", transmit, GA_WAN[version], port, (GB_WAN[version], server), MARK)
        assert wan.count(MARK) == 0


@versions
def test_dhcp_reaches_a_server_here_from_its_own_link_alone(sites: Sites, tmp_path: Path, version: int) -> None:
    client, server = DHCP[version]

    def serve() -> socket.socket:
        opened = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
        opened.bind(("", server))
        if version == 6:
            group = socket.inet_pton(socket.AF_INET6, SERVERS[6]) + socket.if_nametoindex("lan0").to_bytes(4, "little")
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        opened.settimeout(10)
        return opened

    def ask(data: bytes, target: tuple[str, int]) -> None:
        transmit("::" if version == 6 else "0.0.0.0", client, target, data, device="eth0")

    def answer(ours: socket.socket, sender: tuple[str, int]) -> None:
        ours.sendto(b"<lease>", (HA[4], client) if version == 4 else sender)

    with Gateway(sites, tmp_path, block_all(version)), sites.inside("ga", serve) as ours:
        send(sites, "hb", udp(HB[version], GA_LAN[version], MARK, sport=client, dport=server))
        send(sites, "hb", udp(HB[version], GA_LAN[version], MARK, sport=server, dport=server))
        sites.inside("ha", ask, CONTROL, (SERVERS[version], server))
        data, sender = ours.recvfrom(1_000)
        assert data == CONTROL
        with Capture(sites, "ha", "eth0") as lan:
            sites.inside("ga", answer, ours, sender)
            lan.wait_for(b"<lease>")
        if version == 4:
            sites.inside("ha", ask, b"<renewal>", (GA_LAN[4], server))
            assert ours.recv(1_000) == b"<renewal>"


def test_discovery_carries_nothing_beyond_the_link(sites: Sites, tmp_path: Path) -> None:
    """To a neighbour's global address it passes, to one that only the default route leads to it doesn't."""

    def solicit(target: str) -> bytes:
        option = Raw(b"\x0e\x04" + CONTROL.ljust(30))
        return bytes(IPv6(src=GA_WAN[6], dst=target, hlim=255) / ICMPv6ND_NS(tgt=target) / option)

    with Gateway(sites, tmp_path, block_all(6)) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ga", solicit(GB_WAN[6]))
        wan.wait_for(CONTROL)
        with pytest.raises(PermissionError):
            send(sites, "ga", solicit(HB[6]))
        with pytest.raises(PermissionError):
            send(sites, "ga", bytes(IPv6(src=GA_WAN[6], dst=HB[6], hlim=1) / ICMPv6MLReport2() / Raw(CONTROL)))
        assert wan.count(CONTROL) == 1
        gateway.do(gateway.nftables.remove())
        send(sites, "ga", solicit(HB[6]))
        assert wan.count(CONTROL) == 2


@versions
def test_errors_about_packets_of_others_arent_about_ours(sites: Sites, tmp_path: Path, version: int) -> None:
    """An error that quotes a packet from port 4500 is about our ESP only if it comes to us."""
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ha", "eth0") as lan:
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], HB[version], MARK, sport=4500)))
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], GB_WAN[version], FENCE, sport=4500)))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], HB[version], CONTROL, sport=4500)))
        lan.wait_for(CONTROL)


@versions
def test_what_is_exempt_for_being_to_us_isnt_sent_on(sites: Sites, tmp_path: Path, version: int) -> None:
    """IKE from the far side is judged again if destination NAT makes it another's, and only that of a covered pair."""
    family = {4: "ip", 6: "ip6"}[version]
    redirect = f'iifname "wan0" {family} daddr {GA_LAN[version]} dnat to {HA[version]}'
    others_table(sites, ("nat hook prerouting priority dstnat", redirect))
    local, remote = Selector.net(GA_LAN[version]), Selector.net(NET_B[version])
    open_ports = entry(Action.PERMIT, Selector.net(GA_LAN[version], 17, (500, 500)), Selector.net(NET_B[version], 17))
    plan = Plan("test", entries=(open_ports, entry(Action.PROTECT, local, remote, "rule/2")))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ha", "eth0") as lan:
        send(sites, "hb", udp(HB[version], GA_LAN[version], MARK, dport=4500))
        send(sites, "hb", udp(HB[version], GA_LAN[version], b"<permitted>", dport=500))
        lan.wait_for(b"<permitted>")
        send(sites, "gb", udp(GB_WAN[version], GA_LAN[version], FENCE, dport=4500))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", udp(HB[version], GA_LAN[version], CONTROL, sport=4444, dport=4500))
        lan.wait_for(CONTROL)


@versions
def test_our_mark_on_forwarded_packets_opens_nothing(sites: Sites, tmp_path: Path, version: int) -> None:
    """Not even if another program gives it, behind the hooks in which ours are cleared, to packets from our port."""
    plan = Plan("test", entries=(entry(Action.PROTECT, Selector.net(GA_WAN[version]), Selector.net(GB_WAN[version])),))
    others_table(
        sites,
        ("filter hook postrouting priority mangle", f"meta mark set {plan.settings.own_mark}"),
        ("nat hook postrouting priority srcnat", 'oifname "wan0" masquerade'),
    )
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[version], GB_WAN[version], MARK, sport=4500))
        send(sites, "ha", udp(HA[version], HB[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", udp(HA[version], GB_WAN[version], CONTROL, sport=4500, dport=4002))
        wan.wait_for(CONTROL)


@versions
def test_errors_about_our_own_esp_come_in(sites: Sites, tmp_path: Path, version: int) -> None:
    """From a router in between, for a rule that protects one gateway's traffic with the other."""
    plan = Plan("test", entries=(entry(Action.PROTECT, Selector.net(GA_WAN[version]), Selector.net(GB_WAN[version])),))
    router = {4: "192.0.2.77", 6: "2001:db8::77"}[version]

    def listen() -> socket.socket:
        opened = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
        level, option = (socket.IPPROTO_IP, 11) if version == 4 else (socket.IPPROTO_IPV6, 25)
        opened.setsockopt(level, option, 1)
        opened.bind((GA_WAN[version], 4500))
        opened.settimeout(10)
        return opened

    with Gateway(sites, tmp_path, plan), sites.inside("ga", listen) as ours:
        esp = udp(GA_WAN[version], GB_WAN[version], CONTROL, sport=4500, dport=4500)
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), time_exceeded(router, esp))
        data = b""
        with contextlib.suppress(OSError):
            data = ours.recvmsg(1_000, 1_000)[0]  # waits; the error shows itself here
        data += ours.recvmsg(1_000, 1_000, socket.MSG_ERRQUEUE)[0]
        assert CONTROL in data
