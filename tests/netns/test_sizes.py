"""Packets of any size, over links of any size: TCP, pings, and datagrams arrive whole, and hosts hear what fits."""

from __future__ import annotations

import concurrent.futures
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import Ping, answers
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.gateway import others_table
from tests.netns.packets import too_big, udp
from tests.netns.pair import Pair, files, pair, rule
from tests.netns.places import FAMILY, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

DATA = bytes(range(256)) * 2_000


def with_settings(given: dict[str, str], **settings: Any) -> dict[str, str]:
    """The files of a gateway, with something to say in its settings."""
    policy = yaml.safe_load(given["policy.yaml"])
    return given | {"policy.yaml": yaml.safe_dump(policy | {"settings": settings}, sort_keys=False)}


def transfer(sites: Sites, version: int, data: bytes = DATA) -> int:
    """Send data by TCP from ha to hb; all of it arrives, or this fails. The sender's segment size at the end."""
    target = (HB[version], 5_000)
    listener = sites.inside("hb", lambda: socket.create_server(target, family=FAMILY[version]))
    with listener, sites.inside("ha", socket.create_connection, target, 30) as sender:
        receiver, _ = listener.accept()
        with receiver, concurrent.futures.ThreadPoolExecutor() as pool:
            receiver.settimeout(60)
            sending = pool.submit(_send_all, sender, data)
            received = receiver.makefile("rb").read()
            sending.result(60)
        assert received == data
        segment: int = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        return segment


def _send_all(sender: socket.socket, data: bytes) -> None:
    sender.sendall(data)
    sender.shutdown(socket.SHUT_WR)


def ping(sites: Sites, version: int, octets: int, *more: str) -> tuple[int, set[int]]:
    """Three echo requests, IP packets of so many octets that may not be cut, from ha to hb: how many were answered,
    and the MTUs that ha was told of instead."""
    size = octets - {4: 28, 6: 48}[version]
    command = ["ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", "-M", "do", "-s", str(size), *more, HB[version]]
    done = sites.run("ha", command, check=False)
    shown = done.stdout + done.stderr
    answered = re.search(r"(\d+) received", shown)
    return int(answered[1]) if answered else 0, {int(mtu) for mtu in re.findall(r"mtu *[=:] *(\d+)", shown)}


@pytest.mark.parametrize(
    ("wan", "tun", "fits"),
    [
        (1_500, None, 1_438),  # less 20, 8, 8 and 8 octets before and 18 behind a packet
        (1_492, None, 1_430),  # what PPPoE leaves
        (1_300, None, 1_238),
        (9_000, 8_900, 8_900),
    ],
)
def test_the_uplink_may_be_as_wide_as_it_likes(tmp_path: Path, wan: int, tun: int | None, fits: int) -> None:
    both = rule("a", inside=(4, 6)), rule("b", inside=(4, 6))
    of_a, of_b = (with_settings(files(each), **({"mtu": tun} if tun else {})) for each in both)
    with Sites(wan_mtu=wan, offload=False) as sites:
        if tun:
            for place, interface in (("ha", "eth0"), ("ga", "lan0"), ("gb", "lan0"), ("hb", "eth0")):
                sites.run(place, ["ip", "link", "set", interface, "mtu", "9000"])
        with pair(sites, tmp_path, of_a, of_b) as gateways:
            assert transfer(sites, 4) <= fits - 40
            assert transfer(sites, 6) <= fits - 60
            assert gateways.carries(4, size=3_000)
            if tun:
                assert ping(sites, 4, 8_800) == ping(sites, 6, 8_800) == (3, set())
            assert ping(sites, 4, fits) == (3, set())
            told = {4: fits, 6: max(fits, 1_280)}
            sizes = {4: fits + 1, 6: max(fits, 1_280) + 1} if not tun else {}
            for version, size in sizes.items():
                assert ping(sites, version, size) == (0, {told[version]})
            if wan == 1_300:  # IPv6 has to get through whatever the link (RFC 8200 section 5)
                assert ping(sites, 6, 1_280)[0] == 3
            assert max(len(frame) for _, frame in gateways.wire.frames) <= wan + 14
            assert gateways.a.ctl("status")["drops"].get("send-too-big", 0) == 0


def test_a_router_on_the_way_may_be_narrower_than_the_uplink(tmp_path: Path) -> None:
    """Behind a NAT, what the router quotes is what we sent: it translates that back."""
    of_a, of_b = rule("a", inside=(4, 6)), rule("b", inside=(4, 6))
    with Sites(nat=True) as sites:
        of_a["tunnel"]["local"], of_b["tunnel"]["remote"] = sites.wan_a, "any"
        for place, interface in (("nat", "out0"), ("gb", "wan0")):
            sites.run(place, ["ip", "link", "set", interface, "mtu", "1400"])
        with (
            Ipsecd(sites, "gb", tmp_path / "b", files(of_b)) as b,
            Ipsecd(sites, "ga", tmp_path / "a", files(of_a)) as a,
        ):
            assert transfer(sites, 4) <= 1_398
            assert transfer(sites, 6) <= 1_378
            for version in (4, 6):  # the gateway has heard of the path
                assert ping(sites, version, 1_420) == (0, {1_338})
                assert ping(sites, version, 1_338)[0] == 3
            for source, target in (("hb", HA), ("ha", HB)):
                answers(sites, source, target[6], size=3_000, patience=5)  # its sender is told, first by the TUN's MTU
                assert [answers(sites, source, target[version], size=3_000) for version in (4, 6)] == [3, 3]
            packets = a.ctl("status")["packets"]
            assert packets["path-mtu-believed"] >= 1
            assert "path-mtu-doubted" not in packets
            assert "path-mtu-believed" not in b.ctl("status")["packets"]  # it knows its own link


def test_ipv6_outside_over_a_path_of_1280_octets(tmp_path: Path) -> None:
    """An IPv6 packet of 1,280 octets has to get through, in fragments that our own kernel makes, as no router will."""
    of_a, of_b = rule("a", outside=6, inside=(6,)), rule("b", outside=6, inside=(6,))
    with Sites(nat=True, offload=False) as sites:
        of_a["tunnel"]["local"], of_b["tunnel"]["remote"] = sites.wan_a6, "any"
        for place, interface in (("nat", "out0"), ("gb", "wan0")):
            sites.run(place, ["ip", "link", "set", interface, "mtu", "1280"])
        with (
            Ipsecd(sites, "gb", tmp_path / "b", files(of_b)),
            Ipsecd(sites, "ga", tmp_path / "a", files(of_a)),
            Capture(sites, "gb", "wan0") as wan,
        ):
            ping(sites, 6, 1_280)
            assert ping(sites, 6, 1_280) == (3, set())
            assert ping(sites, 6, 1_281) == (0, {1_280})
            assert transfer(sites, 6) <= 1_378
            wan.read()
            assert max(len(seen.packet) for seen in wan.seen) <= 1_280


def by_port(side: str) -> list[dict[str, Any]]:
    """Filters for UDP to port 4001 of the other site, and for echo requests and replies."""
    near, far, end = (NET_A, NET_B, "destination") if side == "a" else (NET_B, NET_A, "source")
    found: list[dict[str, Any]] = []
    for version in (4, 6):
        net = {"source": near[version], "destination": far[version]}
        icmp = {"protocol": {4: "icmp", 6: "icmpv6"}[version]}
        found.append(net | {"protocol": "udp", f"{end}_port": 4001})
        found += [net | icmp | {"icmp_type": kind} for kind in ("echo-request", "echo-reply")]
    return found


def test_large_datagrams_go_through_rules_with_ports(tmp_path: Path) -> None:
    """The kernel cuts what it hands to the TUN device, and later fragments show no ports (RFC 4301 section 7)."""
    of_a, of_b = (files(rule(side, filters=by_port(side), children="merged")) for side in "ab")
    with Sites() as sites, pair(sites, tmp_path, of_a, of_b) as both:
        for version in (4, 6):
            target, host = (HB[version], 4001), FAMILY[version]
            receiver = sites.inside("hb", socket.socket, host, socket.SOCK_DGRAM)
            sender = sites.inside("ha", socket.socket, host, socket.SOCK_DGRAM)
            with receiver, sender:
                receiver.bind(target)
                for size in (100, 1_450, 3_000, 20_000):
                    data = bytes([size % 251]) * size
                    for patience in (0.2, 0.2, 30):  # the first may be what tells ha the MTU of the way, in two steps
                        arrived = _arrives(sender, receiver, target, data, patience)
                    assert arrived, (version, size)
            answers(sites, "ha", HB[version], size=3_000, patience=5)
            assert answers(sites, "ha", HB[version], size=3_000) == 3
        drops = both.a.ctl("status")["drops"]
        assert {"no-policy", "fragment-late", "fragment-mismatch"}.isdisjoint(drops)
        assert both.a.ctl("status")["packets"]["joined"] > 0


def _arrives(
    sender: socket.socket, receiver: socket.socket, target: tuple[str, int], data: bytes, patience: float
) -> bool:
    receiver.settimeout(patience)
    try:
        sender.sendto(data, target)
        while receiver.recv(65_536) != data:
            pass
    except OSError:  # nothing came; or the host has just heard that it doesn't fit
        return False
    return True


def seen_at(capture: Capture, ttl: int) -> list[bytes]:
    """IPv4 packets with this TTL."""
    capture.read()
    return [seen.packet for seen in capture.seen if seen.packet[0] >> 4 == 4 and seen.packet[8] == ttl]


def esp(capture: Capture) -> list[bytes]:
    """IPv4 packets to the other gateway that hold ESP in UDP."""
    capture.read()
    packets = [seen.packet for seen in capture.seen if seen.packet[0] >> 4 == 4 and seen.packet[9] == 17]
    return [packet for packet in packets if packet[22:24] == b"\x11\x94" and packet[28:32] != bytes(4)]


def test_the_outer_header_on_the_wire_and_forged_errors_about_it(tmp_path: Path) -> None:
    """RFC 4301 sections 5.1.2 and 8.2, RFC 6040."""
    with Sites() as sites, pair(sites, tmp_path) as both:
        assert answers(sites, "ha", HB[4], count=1) == 1
        for more, tos, df in ((("-Q", "0xba", "-M", "do"), 0xBA, 0x40), (("-Q", "0x29", "-M", "dont"), 0x29, 0)):
            with Capture(sites, "ga", "wan0") as wan, Capture(sites, "hb", "eth0") as inside:
                command = ["ping", "-n", "-c", "1", "-W", "5", "-t", "9", *more, HB[4]]
                assert " 1 received" in sites.run("ha", command).stdout
                request = next(packet for packet in esp(wan) if packet[12:16] == b"\xc0\x00\x02\x01")
                assert (request[1], request[6] & 0x40, request[8]) == (tos, df, 64)
                (arrived,) = seen_at(inside, 7)  # two gateways have passed it on
                assert (arrived[1], arrived[6] & 0x40) == (tos, df)
        others_table(sites, ("filter hook postrouting priority 2000", "udp dport 4500 ip ecn set ce"))
        with Capture(sites, "hb", "eth0") as inside:
            sites.run("ha", ["ping", "-n", "-c", "1", "-W", "5", "-t", "9", "-Q", "0xba", HB[4]])
            (arrived,) = seen_at(inside, 7)
            assert arrived[1] == 0xBB  # congestion on the way reaches who can do something about it
        sites.run("ga", ["nft", "delete", "table", "inet", "others"])
        forged_errors(sites, both)


def forged_errors(sites: Sites, both: Pair) -> None:
    """From anywhere, with all that isn't secret right: addresses, ports."""
    (child,) = both.a.children()
    spi = bytes.fromhex(child["spi_out"])
    wrong = bytes([spi[0] ^ 1, *spi[1:]])

    def claim(remote: str, data: bytes, port: int = 4500) -> bytes:
        return too_big(GB_WAN[4], udp(GA_WAN[4], remote, data, sport=port, dport=port), 1_300)

    def heard(what: str) -> int:
        count: int = both.a.ask("status")["packets"].get(what, 0)
        return count

    forged = [claim(GB_WAN[4], wrong + bytes(1_300)), claim(HB[4], spi + bytes(1_300))]
    send(sites, "gb", *forged, claim(HB[4], b""), claim(GB_WAN[4], bytes(1_300)), claim(GB_WAN[4], spi, port=500))
    eventually(lambda: heard("path-mtu-doubted") == 5, "all were looked at")
    assert ping(sites, 4, 1_438) == (3, set())
    send(sites, "gb", claim(GB_WAN[4], spi + bytes(1_300)))  # one that knows the SPI: somebody on the path
    eventually(lambda: heard("path-mtu-believed") == 1, "it was looked at")
    assert ping(sites, 4, 1_438) == (0, {1_238})


@pytest.mark.parametrize("lifetime", [{"kilobytes": 4_096}, {"packets": 4_000}], ids=["kilobytes", "packets"])
def test_a_limit_of_what_an_sa_carries_rekeys_without_a_gap(
    sites: Sites, tmp_path: Path, lifetime: dict[str, int]
) -> None:
    given = files(rule("a", action="short"))
    actions = {"short": {"action": "negotiate", "lifetime": lifetime}}
    text = yaml.safe_dump(yaml.safe_load(given["policy.yaml"]) | {"filter_actions": actions}, sort_keys=False)
    with pair(sites, tmp_path, given | {"policy.yaml": text}) as both:
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as pinging:
            used: set[str] = set()
            while len(used) < 4:  # three times
                transfer(sites, 4, bytes(200_000))  # less than lies between the soft limit and the hard one
                eventually(lambda: len(both.a.ask("sas")["sas"][0]["children"]) == 1, "no rekey is under way")
                used |= {child["spi_in"] for child in both.a.children()}
            pinging.flows()
        assert pinging.gaps == []
        assert both.a.log().count("child SA rekeyed") == 3
        assert [side.ctl("status")["drops"] for side in (both.a, both.b)] == [{}, {}]
