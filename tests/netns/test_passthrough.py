"""A rule that accepts what comes in clear answers with protected packets alone."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from ipsecd.policy.plan import Action, Plan
from tests.interop.ipsecd import Ipsecd
from tests.netns.capture import PATIENCE, Capture, inject, send
from tests.netns.gateway import Gateway, between_sites
from tests.netns.packets import fragments, ping, tcp, time_exceeded, udp
from tests.netns.pair import KEY, policy, rule
from tests.netns.places import FAMILY, GA_LAN, GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
FENCE = b"<uncovered packet>"
CONTROL = b"<control packet>"


def let_in(passthrough: bool = True) -> Plan:
    plan = between_sites(Action.PROTECT)
    return replace(plan, entries=tuple(replace(entry, passthrough=passthrough) for entry in plan.entries))


@pytest.mark.parametrize("inside", ["ha", "ga"])
def test_what_comes_in_clear_is_let_in_and_no_answer_leaves_in_clear(
    sites: Sites, tmp_path: Path, version: int, inside: str
) -> None:
    """To a host behind the gateway and to the gateway itself; whole and in fragments."""
    here = {"ha": HA, "ga": GA_LAN}[inside][version]
    port = 4_001
    with (
        Gateway(sites, tmp_path, let_in()) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        sites.inside(inside, lambda: socket.socket(FAMILY[version], socket.SOCK_DGRAM)) as server,
    ):
        server.bind((here, port))
        server.settimeout(PATIENCE)
        send(sites, "hb", udp(HB[version], here, MARK))
        assert server.recv(100) == MARK
        send(sites, "hb", *fragments(HB[version], here, MARK))
        assert server.recv(2_000) == MARK * 64
        send(sites, "hb", ping(HB[version], here, MARK), tcp(HB[version], here, MARK, dport=9, flags="S"))
        gateway.wait_in_tun(MARK)  # the answer to the ping
        send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert [seen.packet for seen in wan.seen if seen.outgoing and to_the_far_host(seen.packet, version)] == []
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", ping(HB[version], here, CONTROL))
        wan.wait(lambda seen: seen.outgoing and CONTROL in seen.packet, "the answer in clear, without the floor")


def test_without_a_passthrough_none_of_it_is_let_in(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, let_in(passthrough=False)), Capture(sites, "ha", "eth0") as lan:
        send(sites, "hb", udp(HB[version], HA[version], MARK), *fragments(HB[version], HA[version], MARK))
        send(sites, "gb", udp(GB_WAN[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0


def test_errors_in_clear_about_what_left_protected_arent_let_in(sites: Sites, tmp_path: Path, version: int) -> None:
    """Not from strangers, and not from an address that may send in clear."""
    with Gateway(sites, tmp_path, let_in()) as gateway, Capture(sites, "ha", "eth0") as lan:
        for source in ("gb", "hb"):
            router = {"gb": GB_WAN, "hb": HB}[source][version]
            send(sites, source, time_exceeded(router, udp(HA[version], HB[version], MARK)))
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], GB_WAN[version], FENCE)))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", time_exceeded(HB[version], udp(HA[version], HB[version], CONTROL)))
        lan.wait_for(CONTROL)


def test_what_the_kernel_says_of_a_packet_in_clear_doesnt_leave_in_clear(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """Not by the addresses of the rule, and not by the gateway's own, which no rule covers."""
    with Gateway(sites, tmp_path, let_in()) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "gb", udp(HB[version], HA[version], MARK, hops=1))
        send(sites, "gb", udp(HB[version], GA_LAN[version], MARK, dport=9))
        send(sites, "ga", udp(GA_WAN[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet] == []
        gateway.do(gateway.nftables.remove())
        send(sites, "gb", udp(HB[version], HA[version], CONTROL, hops=1))
        wan.wait(lambda seen: seen.outgoing and CONTROL in seen.packet, "the error in clear, without the floor")


def test_a_connection_in_clear_is_answered_by_calling_the_peer(sites: Sites, tmp_path: Path, version: int) -> None:
    """A SYN in clear gets in; the SYN-ACK waits until the peer has been called, and leaves inside ESP."""
    to = sites.mac("ga", "wan0")
    with (
        Ipsecd(sites, "ga", tmp_path / "a", texts("a")) as daemon,
        Ipsecd(sites, "gb", tmp_path / "b", texts("b")),
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "hb", "eth0") as far,
        sites.inside("ha", lambda: socket.socket(FAMILY[version], socket.SOCK_STREAM)) as server,
    ):
        server.bind((HA[version], 4_001))
        server.listen()
        inject(sites, "gb", "wan0", to, tcp(HB[version], HA[version], b"", flags="S"))
        far.wait(lambda seen: flags(seen.packet) == "SA", "the answer, out of the tunnel")
        assert len(daemon.children()) == 1
        wan.wait(lambda seen: flags(seen.packet) == "S" and not seen.outgoing, "the SYN in clear")
        assert [seen for seen in wan.seen if seen.outgoing and to_the_far_host(seen.packet, version)] == []
        daemon.ctl("unassign")
        inject(sites, "gb", "wan0", to, tcp(HB[version], HA[version], b"", sport=4_444, flags="S"))
        wan.wait(lambda seen: flags(seen.packet) == "SA" and seen.outgoing, "the answer in clear, without a policy")


def texts(side: str) -> dict[str, str]:
    """The files of a gateway that protects both families and accepts cleartext."""
    own = "filter_actions: {own: {action: negotiate, inbound_passthrough: true}}\n"
    return {"policy.yaml": policy(rule(side, inside=(4, 6), action="own", children="merged")) + own, "peer.psk": KEY}


def to_the_far_host(packet: bytes, version: int) -> bool:
    """Whether it is in clear, and not to the other gateway."""
    return bool(parsed(packet).dst == HB[version])


def flags(packet: bytes) -> str:
    """Those of a TCP packet, or nothing."""
    read = parsed(packet)
    return str(read[TCP].flags) if TCP in read else ""


def parsed(packet: bytes) -> Packet:
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
