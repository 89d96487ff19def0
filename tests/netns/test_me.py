"""``me`` is whatever addresses this machine has, from the moment it has them, and nobody has to be told first."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, send
from tests.netns.gateway import Gateway
from tests.netns.packets import time_exceeded, udp
from tests.netns.places import FAMILY, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
NEW = {4: "192.0.2.77", 6: "2001:db8::77"}
PREFIX = {4: 24, 6: 64}
UNSPECIFIED = {4: "0.0.0.0", 6: "::"}
FREE_BIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}


def me(action: Action, version: int) -> Plan:
    """From this machine to the far site, as planned while there was no address."""
    pair = Selector.net(UNSPECIFIED[version]), Selector.net(NET_B[version])
    return Plan("test", entries=(Entry("rule/1", "rule", action, (), me=(pair,)),))


def address(sites: Sites, version: int, verb: str, *more: str) -> None:
    sites.run("ga", ["ip", "addr", verb, f"{NEW[version]}/{PREFIX[version]}", "dev", "wan0", *more])


@contextmanager
def bound(sites: Sites, version: int, *, early: bool = False) -> Iterator[socket.socket]:
    """A socket of ga that sends from the new address; ``early``: even without it."""

    def make() -> socket.socket:
        made = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
        made.setsockopt(*FREE_BIND[version], int(early))
        made.bind((NEW[version], 4_000))
        return made

    with sites.inside("ga", make) as made:
        yield made


def in_clear(sites: Sites, wan: Capture, version: int) -> list[bytes]:
    """The marked packets that left, once something that is sent later has been seen."""
    send(sites, "ga", udp(GA_WAN[version], GB_WAN[version], CONTROL))
    wan.wait_for(CONTROL)
    return [seen.packet for seen in wan.seen if seen.outgoing and MARK in seen.packet]


def addresses(packet: bytes) -> tuple[str, str]:
    """Source and destination of an IP packet."""
    if packet[0] >> 4 == 4:
        return socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20])
    return socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])


@pytest.mark.parametrize("action", [Action.PROTECT, Action.BLOCK])
def test_a_new_address_is_covered_at_once(sites: Sites, tmp_path: Path, version: int, action: Action) -> None:
    with Gateway(sites, tmp_path, me(action, version)) as gateway, Capture(sites, "ga", "wan0") as wan:
        address(sites, version, "add", "nodad")
        with bound(sites, version) as opened:
            opened.sendto(b"<uncovered>", (GB_WAN[version], 4_001))
            wan.wait_for(b"<uncovered>")
            if action is Action.PROTECT:
                opened.sendto(MARK, (HB[version], 4_001))
                gateway.wait_in_tun(MARK)
            else:
                with pytest.raises(PermissionError):
                    opened.sendto(MARK, (HB[version], 4_001))
            opened.setblocking(False)
            send(sites, "hb", udp(HB[version], NEW[version], MARK, 4_001, 4_000))
            assert in_clear(sites, wan, version) == []
            with pytest.raises(BlockingIOError):  # nor does anything arrive in clear
                opened.recv(100)
            send(sites, "ha", udp(HA[version], HB[version], CONTROL, 4_001, 4_000))  # what passes isn't of this machine
            wan.wait(
                lambda seen: HA[version] in {*addresses(seen.packet)} and CONTROL in seen.packet, "a host's packet"
            )


def test_what_all_routers_of_a_network_hear_is_covered(sites: Sites, tmp_path: Path, version: int) -> None:
    """Subnet-router anycast addresses (RFC 4291 section 2.6.1): the kernel gives them to the sockets of a router."""
    if version == 4:
        return
    anycast = str(ip_network(NET_A[6])[0])

    def listen() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.bind(("::", 4_000))
        made.settimeout(30)
        return made

    with sites.inside("ga", listen) as opened:
        send(sites, "hb", udp(HB[6], anycast, CONTROL, 4_001, 4_000))
        assert opened.recv(100) == CONTROL
        with Gateway(sites, tmp_path, me(Action.BLOCK, 6)) as gateway:
            assert ip_address(anycast) in gateway.do(gateway.netlink.anycasts())
            send(sites, "hb", udp(HB[6], anycast, MARK, 4_001, 4_000))
            send(sites, "gb", udp(GB_WAN[6], GA_WAN[6], CONTROL, 4_001, 4_000))
            assert opened.recv(100) == CONTROL


def test_an_address_that_is_gone_doesnt_carry_anything_out(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, me(Action.PROTECT, version)) as gateway, Capture(sites, "ga", "wan0") as wan:
        address(sites, version, "add", "nodad")
        with bound(sites, version) as opened:
            address(sites, version, "del")
            if version == 4:
                with pytest.raises(OSError, match="unreachable"):
                    opened.sendto(MARK, (HB[4], 4_001))
                return
            opened.sendto(b"<uncovered>", (GB_WAN[6], 4_001))
            wan.wait_for(b"<uncovered>")  # IPv6 lets it go on
            opened.sendto(MARK, (HB[6], 4_001))
            gateway.wait_in_tun(MARK)
            assert in_clear(sites, wan, version) == []


def test_an_address_that_is_still_being_checked_is_covered(sites: Sites, tmp_path: Path, version: int) -> None:
    """Duplicate address detection (RFC 4862 section 5.4) takes a second; RFC 4429 lets an address be used meanwhile."""
    if version == 4:
        sites.sysctl("ga", "ipv4/ip_nonlocal_bind", 1)
    for name, value in (("accept_dad", 1), ("dad_transmits", 100), ("optimistic_dad", 1), ("use_optimistic", 1)):
        sites.sysctl("ga", f"ipv6/conf/wan0/{name}", value)
    with Gateway(sites, tmp_path, me(Action.PROTECT, version)) as gateway, Capture(sites, "ga", "wan0") as wan:
        address(sites, version, "add", *(("optimistic",) if version == 6 else ()))
        with bound(sites, version, early=True) as opened:
            opened.sendto(MARK, (HB[version], 4_001))
            gateway.wait_in_tun(MARK)
            assert in_clear(sites, wan, version) == []


def test_errors_in_clear_about_what_this_machine_sent_protected_dont_count(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    with Gateway(sites, tmp_path, me(Action.PROTECT, version)) as gateway, Capture(sites, "ga", "wan0") as wan:
        for target in (GB_WAN, HB):  # what went to GB_WAN wasn't protected
            send(sites, "gb", time_exceeded(GB_WAN[version], udp(GA_WAN[version], target[version], MARK)))
        assert in_clear(sites, wan, version) == []
        assert gateway.counters()["drops.rule/1"] == 1
