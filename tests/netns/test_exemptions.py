"""What a policy exempts passes in clear, either way, at each of Windows' levels, and nothing else does.

Every rule here protects everything, and there is no SA. Each test ends with the floor removed, and sees what didn't
pass before.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from scapy.layers.inet import TCP, fragment
from scapy.packet import Raw

from ipsecd.policy.plan import Action, Entry, Exempt, Plan
from ipsecd.policy.schema import Exemptions
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, inject, send
from tests.netns.gateway import Gateway, entry, others_table
from tests.netns.packets import fragments, header, tcp, udp
from tests.netns.places import EVERYTHING, FAMILY, GA_WAN, GB_WAN, HA, HB, NET_B
from tests.netns.sites import Sites

pytestmark = pytest.mark.root
versions = pytest.mark.parametrize("version", [4, 6])

GROUP = {4: "239.1.2.3", 6: "ff3e::7"}
TO_ALL = "192.0.2.255"
PORT = 4001
FENCE = b"<IKE, exempt at each level>"
BY_LEVEL = {
    0: {"kerberos", "rsvp", "multicast", "broadcast"},
    1: {"multicast", "broadcast"},
    2: {"kerberos", "rsvp"},
    3: set[str](),
}


def protect_all(version: int, exempt: Exempt) -> Plan:
    return Plan("test", entries=(entry(Action.PROTECT, *[Selector.net(EVERYTHING[version])] * 2),), exempt=exempt)


def transmit(family: int, source: tuple[str, int], target: tuple[str, int], data: bytes, mark: int = 0) -> None:
    """One datagram by the link between the gateways."""
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wan0")
        opened.bind(source)
        with contextlib.suppress(PermissionError):  # the floor tells the sender
            opened.sendto(data, target)


def transmit_raw(family: int, protocol: int, target: str, data: bytes) -> None:
    with socket.socket(family, socket.SOCK_RAW, protocol) as opened, contextlib.suppress(OSError):
        opened.sendto(data, (target, 0))


def each_kind(sites: Sites, place: str, version: int, words: str) -> None:
    """Send one packet of each kind from a gateway to the other, or to all; its name and these words are in it."""
    source, target = (GA_WAN, GB_WAN) if place == "ga" else (GB_WAN, GA_WAN)
    family = FAMILY[version]

    def named(kind: str) -> bytes:
        return f"<{kind} {words}>".encode()

    sites.inside(place, transmit, family, (source[version], 88), (target[version], PORT), named("kerberos"))
    sites.inside(place, transmit_raw, family, 46, target[version], named("rsvp"))
    sites.inside(place, transmit, family, (source[version], 5), (GROUP[version], PORT), named("multicast"))
    if version == 4:
        sites.inside(place, transmit, family, (source[4], 5), (TO_ALL, PORT), named("broadcast"))
    sites.inside(place, transmit, family, (source[version], 87), (target[version], PORT), named("other"))


def kinds(packets: Sequence[bytes], words: str) -> set[str]:
    """The names of the kinds that are among these packets."""
    return {name.decode() for packet in packets for name in re.findall(rb"<(\w+) " + words.encode() + b">", packet)}


class Ears:
    """Sockets of ga that hear every kind of packet."""

    def __init__(self, version: int) -> None:
        family = FAMILY[version]
        self._ports = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        for opened, port in zip(self._ports, (PORT, 500), strict=True):
            opened.bind(("", port))
        group, link = socket.inet_pton(family, GROUP[version]), socket.if_nametoindex("wan0")
        if version == 4:
            joined = group + bytes(4) + link.to_bytes(4, "little")
            self._ports[0].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        else:
            joined = group + link.to_bytes(4, "little")
            self._ports[0].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
        self._all = *self._ports, socket.socket(family, socket.SOCK_RAW, 46)

    def heard(self, last: bytes) -> list[bytes]:
        """All that came before that packet to the port of IKE."""
        self._ports[1].settimeout(10)
        while self._ports[1].recv(2_000) != last:
            pass
        return [packet for opened in (self._ports[0], self._all[2]) for packet in self._waiting(opened)]

    @staticmethod
    def _waiting(opened: socket.socket) -> Iterator[bytes]:
        opened.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                yield opened.recv(2_000)

    def close(self) -> None:
        for opened in self._all:
            opened.close()


@versions
@pytest.mark.parametrize("level", BY_LEVEL)
def test_what_a_level_exempts_passes_and_nothing_else(sites: Sites, tmp_path: Path, level: int, version: int) -> None:
    plan = protect_all(version, Exemptions(level=level).meaning())
    ike, heard, far = (GA_WAN[version], 4500), (GA_WAN[version], 500), (GB_WAN[version], 500)
    every = BY_LEVEL[0] if version == 4 else BY_LEVEL[0] - {"broadcast"}
    with (
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        contextlib.closing(sites.inside("ga", Ears, version)) as ears,
    ):

        def exchange(words: str) -> tuple[set[str], set[str]]:
            """What leaves ga, and what is heard there, of what either gateway sends."""
            each_kind(sites, "ga", version, words)
            end = FENCE + words.encode()
            sites.inside("ga", transmit, FAMILY[version], ike, far, end, plan.settings.own_mark)
            wan.wait_for(end)
            left = kinds([seen.packet for seen in wan.seen if seen.outgoing], words)
            each_kind(sites, "gb", version, "back " + words)
            sites.inside("gb", transmit, FAMILY[version], far, heard, end)
            return left, kinds(ears.heard(end), "back " + words)

        exempt = BY_LEVEL[level] & every
        assert exchange("with the floor") == (exempt, exempt)
        gateway.do(gateway.nftables.remove())
        assert exchange("without") == (every | {"other"}, every | {"other"})


@versions
def test_a_connection_to_the_kdc_comes_about(sites: Sites, tmp_path: Path, version: int) -> None:
    """With all that the kernel itself sends for it; what goes to another port is kept for the tunnel."""

    def serve(port: int) -> socket.socket:
        return socket.create_server((GB_WAN[version], port), family=FAMILY[version])

    def call(port: int) -> socket.socket:
        opened = socket.socket(FAMILY[version], socket.SOCK_STREAM)
        opened.setblocking(False)
        opened.connect_ex((GB_WAN[version], port))
        return opened

    def serves(server: socket.socket, client: socket.socket) -> bool:
        for opened in (server, client):
            opened.settimeout(10)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(10)
            accepted.sendall(b"<ticket>")
            client.sendall(b"<thanks>")
            return (client.recv(100), accepted.recv(100)) == (b"<ticket>", b"<thanks>")

    plan = protect_all(version, Exempt(kerberos=True))
    with (
        sites.inside("gb", serve, 88) as kdc,
        sites.inside("gb", serve, 0xBEEF) as other,
        Gateway(sites, tmp_path, plan) as gateway,
    ):
        with sites.inside("ga", call, 88) as client:
            assert serves(kdc, client)
        with sites.inside("ga", call, 0xBEEF):
            gateway.wait_in_tun(b"\xbe\xef")
        gateway.do(gateway.nftables.remove())
        with sites.inside("ga", call, 0xBEEF) as client:
            assert serves(other, client)


def count(capture: Capture, words: bytes, *, outgoing: bool) -> int:
    """How many packets with these words have been sent, or else have come: not those that answer them."""
    capture.read()
    return sum(seen.outgoing is outgoing and words in seen.packet for seen in capture.seen)


def tcp_pieces(source: str, destination: str, mark: bytes) -> Sequence[bytes]:
    """One TCP packet from port 88 in several fragments, with the mark in each."""
    whole = header(source, destination) / TCP(sport=88, dport=PORT, flags="PA") / Raw(mark * (1_024 // len(mark)))
    whole.id = 0x4321
    return [bytes(piece) for piece in fragment(whole, 256)]  # type: ignore[no-untyped-call]  # Scapy's


@versions
def test_fragments_of_what_is_exempt_pass(sites: Sites, tmp_path: Path, version: int) -> None:
    def listen(kind: socket.SocketKind, at: int) -> socket.socket:
        opened = socket.socket(FAMILY[version], kind, at if kind is socket.SOCK_RAW else 0)
        if kind is socket.SOCK_DGRAM:
            opened.bind((GA_WAN[version], PORT))
        opened.settimeout(10)
        return opened

    source, ours = GB_WAN[version], GA_WAN[version]
    with (
        Gateway(sites, tmp_path, protect_all(version, Exempt(kerberos=True))) as gateway,
        sites.inside("ga", listen, socket.SOCK_DGRAM, 0) as datagrams,
        sites.inside("ga", listen, socket.SOCK_RAW, socket.IPPROTO_TCP) as segments,
    ):
        send(sites, "gb", *fragments(source, ours, b"<other piece>", sport=89, dport=PORT))
        send(sites, "gb", *fragments(source, ours, b"<whole again>", sport=88, dport=PORT))
        assert datagrams.recv(2_000).startswith(b"<whole again>")
        if version == 4:
            send(sites, "gb", *tcp_pieces(source, ours, b"<TCP of it>"))
            assert segments.recv(2_000).endswith(b"<TCP of it>")
        gateway.do(gateway.nftables.remove())
        send(sites, "gb", *fragments(source, ours, b"<other piece>", sport=89, dport=PORT))
        assert datagrams.recv(2_000).startswith(b"<other piece>")


@versions
def test_what_is_passed_on_for_others_isnt_exempt(sites: Sites, tmp_path: Path, version: int) -> None:
    """Neither as it is, nor by what masquerading makes of it."""
    ours, far = Selector.net(GA_WAN[version]), Selector.net(GB_WAN[version])
    between = Selector.net(HA[version]), Selector.net(HB[version])
    rules = entry(Action.BLOCK, *between), entry(Action.PROTECT, ours, far, "rule/2")
    plan = Plan("test", entries=rules, exempt=Exempt(rsvp=True, kerberos=True))
    others_table(sites, ("nat hook postrouting priority srcnat", 'oifname "wan0" masquerade'))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:

        def kerberos(words: bytes, sport: int = 4444) -> None:
            send(sites, "ha", udp(HA[version], HB[version], words, dport=88))
            send(sites, "ha", udp(HA[version], GB_WAN[version], words + b" masqueraded", sport=sport, dport=88))
            sites.inside("ha", transmit_raw, FAMILY[version], 46, GB_WAN[version], words + b" masqueraded RSVP")
            sites.inside("ha", transmit_raw, FAMILY[version], 46, HB[version], words + b" RSVP")

        kerberos(b"<covered>")
        send(sites, "ha", udp(HA[version], {4: "10.2.0.9", 6: "fd02::9"}[version], FENCE))
        wan.wait_for(FENCE)
        assert count(wan, b"<covered>", outgoing=True) == 0
        gateway.do(gateway.nftables.remove())
        kerberos(b"<control>", sport=4445)
        wan.wait_for(b"<control> RSVP")
        assert count(wan, b"<control>", outgoing=True) == 4


@versions
def test_what_is_exempt_for_being_to_us_or_to_a_group_is_judged_if_it_is_sent_on(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """Destination NAT makes it another's, to whom no rule is for it; a permit for ``me`` doesn't cover a group."""
    family, group = {4: "ip", 6: "ip6"}[version], GROUP[version]
    others_table(
        sites,
        ("nat hook prerouting priority -101", f'iifname "wan0" {family} daddr {group} dnat to {HA[version]}'),
        ("nat hook prerouting priority -100", f'iifname "wan0" {family} daddr {GA_WAN[version]} dnat to {HA[version]}'),
    )
    net, here = Selector.net(NET_B[version]), Selector.net({4: "0.0.0.0", 6: "::"}[version])
    permit = Entry("me/1", "me", Action.PERMIT, (), me=((here, Selector.net(NET_B[version], 6)),))
    groups = entry(Action.PROTECT, Selector.net(group), net, "group/1")
    plan = Plan(
        "test",
        entries=(entry(Action.PROTECT, Selector.net(GA_WAN[version]), net), permit, groups),
        exempt=Exempt(multicast=True, kerberos=True),
    )
    mac = sites.mac("ga", "wan0")
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ha", "eth0") as lan:

        def arrive(words: bytes, sport: int) -> None:
            to_us = udp(HB[version], GA_WAN[version], words, sport=sport, dport=88)
            to_group = udp(HB[version], group, words + b" to a group", sport=sport), tcp(HB[version], group, words)
            inject(sites, "gb", "wan0", mac, to_us, *to_group)

        arrive(b"<covered>", 4001)
        inject(sites, "gb", "wan0", mac, udp(GB_WAN[version], group, FENCE))
        lan.wait_for(FENCE)
        assert lan.count(b"<covered>") == 0
        for words in ("{ tcp, udp }", family + " daddr"):
            gateway.without("through_us", words)
        arrive(b"<control>", 4002)
        lan.wait_for(b"<control> to a group")
        assert count(lan, b"<control>", outgoing=False) == 3


def test_a_broadcast_is_one_by_its_frame_too(sites: Sites, tmp_path: Path) -> None:
    """Else destination NAT could make it another's, past the rules."""
    others_table(sites, ("nat hook prerouting priority dstnat", f'iifname "wan0" ip daddr {TO_ALL} dnat to {HA[4]}'))
    covered = entry(Action.PROTECT, Selector.net("192.0.2.0/24"), Selector.net(NET_B[4]))
    plan = Plan("test", entries=(covered,), exempt=Exempt(broadcast=True))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ha", "eth0") as lan:
        for to in (sites.mac("ga", "wan0"), "ff:ff:ff:ff:ff:ff"):
            inject(sites, "gb", "wan0", to, udp(HB[4], TO_ALL, b"<covered>"))
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), udp(GB_WAN[4], TO_ALL, FENCE))
        lan.wait_for(FENCE)
        assert lan.count(b"<covered>") == 0
        gateway.do(gateway.nftables.remove())
        inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), udp(HB[4], TO_ALL, b"<control>", sport=4444))
        lan.wait_for(b"<control>")


@versions
def test_without_exemptions_neighbours_and_dhcp_obey_the_rules(sites: Sites, tmp_path: Path, version: int) -> None:
    """Solicitations of the kernel itself, and what a client asks for before it has an address."""
    exempt = Exempt(neighbour_discovery=False, dhcp=False)
    blocked = Plan("test", entries=(entry(Action.BLOCK, *[Selector.net(EVERYTHING[version])] * 2),), exempt=exempt)
    other = FAMILY[10 - version]
    mark, fence = blocked.settings.own_mark, (GA_WAN[10 - version], 500)
    anyone, servers, client, server = {
        4: ("0.0.0.0", "255.255.255.255", 68, 67),
        6: ("::", "ff02::1:2", 546, 547),
    }[version]
    with Gateway(sites, tmp_path, blocked) as gateway, Capture(sites, "ga", "wan0") as wan:

        def ask(words: bytes) -> None:
            sites.run("ga", ["ip", "neigh", "flush", "dev", "wan0"])
            sites.inside("ga", transmit, FAMILY[version], (anyone, client), (servers, server), words + b"DHCP")
            sites.inside(
                "ga", transmit, FAMILY[version], (GA_WAN[version], 500), (GB_WAN[version], 500), words + b"IKE", mark
            )
            sites.inside("ga", transmit, other, fence, (GB_WAN[10 - version], 500), words + FENCE, mark)
            wan.wait_for(words + FENCE)

        def solicitations() -> int:
            return sum(seen.packet[6] == 58 and seen.packet[40] == 135 for seen in wan.seen if seen.packet[0] >> 4 == 6)

        ask(b"<first>")
        assert count(wan, b"<first>", outgoing=True) == (
            2 if version == 4 else 1
        )  # IKE is exempt; but has no neighbour of IPv6
        assert version == 4 or solicitations() == 0
        gateway.do(gateway.nftables.remove())
        ask(b"<second>")
        wan.wait(lambda seen: seen.packet.endswith(b"<second>DHCP"), "what a client asks for")
        if version == 6:
            wan.wait(lambda seen: seen.packet[6] == 58 and seen.packet[40] == 135, "a solicitation")
            wan.wait(lambda seen: seen.packet.endswith(b"<second>IKE"), "IKE to a neighbour")
