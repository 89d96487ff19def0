"""What the policy protects goes into the TUN; what comes out of the TUN goes where it should, whatever rp_filter."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from ipsecd.policy.floor import BESIDE_THE_TUN, NOT_STEERED
from ipsecd.policy.plan import Action, Plan
from ipsecd.wire.selector import Selector
from tests.netns.capture import Capture, send
from tests.netns.gateway import Gateway, between_sites, entry, others_table
from tests.netns.packets import fragments, ping, tcp, udp
from tests.netns.places import EVERYTHING, FAMILY, GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
IP = {4: "ip", 6: "ip6"}
HITS = {4: "hits.rule/4", 6: "hits.rule/6"}


def transmit(
    sites: Sites,
    source: str,
    target: tuple[str, int],
    data: bytes,
    *,
    device: str = "",
    mark: int = 0,
    port: int = 0,
) -> None:
    """Send from an ordinary UDP socket of ga."""

    def go() -> None:
        with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as opened:
            if device:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            opened.bind((source, port))
            opened.sendto(data, target)

    sites.inside("ga", go)


def test_forwarded_traffic_goes_into_the_tun(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[version], HB[version], MARK), tcp(HA[version], HB[version], MARK))
        send(sites, "ha", ping(HA[version], HB[version], MARK))
        assert len(gateway.wait_in_tun(MARK, 3)) == 3
        send(sites, "ha", udp(HA[version], GB_WAN[version], CONTROL))
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0
        assert gateway.counters()[HITS[version]] == 3


def test_traffic_of_the_gateway_itself_goes_into_the_tun(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ga", "wan0") as wan:
        transmit(sites, GA_LAN[version], (HB[version], 9), MARK)
        send(sites, "ga", udp(GA_LAN[version], HB[version], MARK))
        assert len(gateway.wait_in_tun(MARK, 2)) == 2
        transmit(sites, GA_WAN[version], (HB[version], 9), CONTROL)  # this source isn't covered
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0


@pytest.mark.parametrize("masquerade", [False, True])
def test_traffic_bound_to_a_device_is_dropped_and_counted(
    sites: Sites, tmp_path: Path, version: int, masquerade: bool
) -> None:
    if masquerade:
        others_table(sites, ("nat hook postrouting priority srcnat", 'oifname "wan0" masquerade'))
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ga", "wan0") as wan:
        with pytest.raises(OSError, match="not permitted") as refused:
            transmit(sites, GA_LAN[version], (HB[version], 9), MARK, device="wan0")
        assert refused.value.errno == errno.EPERM
        assert gateway.counters()[BESIDE_THE_TUN] == 1
        assert gateway.out_of_tun(MARK) == []
        gateway.do(gateway.nftables.remove())
        transmit(sites, GA_LAN[version], (HB[version], 9), CONTROL, device="wan0")
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0


def test_only_the_ports_of_the_filter_are_steered(sites: Sites, tmp_path: Path, version: int) -> None:
    plan = between_sites(Action.PROTECT, protocol=6, ports=(80, 81))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", tcp(HA[version], HB[version], MARK, dport=80), tcp(HA[version], HB[version], MARK, dport=81))
        assert len(gateway.wait_in_tun(MARK, 2)) == 2
        send(sites, "ha", tcp(HA[version], HB[version], CONTROL, dport=82))
        wan.wait_for(CONTROL)
        send(sites, "ha", udp(HA[version], HB[version], b"<other protocol>", dport=80))
        wan.wait_for(b"<other protocol>")
        assert wan.count(MARK) == 0


def test_echo_requests_are_steered_by_their_icmp_type(sites: Sites, tmp_path: Path, version: int) -> None:
    protocol, kind = (1, 8) if version == 4 else (58, 128)
    plan = between_sites(Action.PROTECT, protocol=protocol, ports=(kind * 256, kind * 256 + 255))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", ping(HA[version], HB[version], MARK))
        gateway.wait_in_tun(MARK)
        send(sites, "ha", udp(HA[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0


def test_a_fragmented_packet_is_steered_whole_by_its_ports(sites: Sites, tmp_path: Path, version: int) -> None:
    plan = between_sites(Action.PROTECT, protocol=17, ports=(4001, 4001))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", *fragments(HA[version], HB[version], MARK))
        gateway.wait_in_tun(MARK)
        send(sites, "ha", *fragments(HA[version], HB[version], CONTROL, dport=5))
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0


def test_a_permit_rule_before_it_keeps_traffic_out_of_the_tun(sites: Sites, tmp_path: Path, version: int) -> None:
    local, remote = Selector.net(NET_A[version]), Selector.net(NET_B[version])
    permitted = entry(Action.PERMIT, Selector.net(HA[version]), remote, "open/1")
    plan = Plan("test", entries=(permitted, entry(Action.PROTECT, local, remote)))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)
        transmit(sites, GA_LAN[version], (HB[version], 9), MARK)
        gateway.wait_in_tun(MARK)
        assert gateway.counters()["hits.open/1"] == 1
        assert wan.count(MARK) == 0


def test_a_packet_is_judged_by_where_destination_nat_sends_it(sites: Sites, tmp_path: Path, version: int) -> None:
    decoy = {4: "10.9.0.9", 6: "fd09::9"}[version]
    redirect = f"{IP[version]} daddr {decoy} dnat {IP[version]} to {HB[version]}"
    others_table(sites, ("nat hook prerouting priority dstnat", redirect), ("nat hook output priority -100", redirect))
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[version], decoy, MARK))
        gateway.wait_in_tun(MARK)
        transmit(sites, GA_LAN[version], (decoy, 9), MARK)
        gateway.wait_in_tun(MARK)
        transmit(sites, GA_WAN[version], (decoy, 9), CONTROL)
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0


def test_marks_that_others_give_to_arriving_packets_dont_steer(sites: Sites, tmp_path: Path, version: int) -> None:
    plan = between_sites(Action.PROTECT)
    mark = f"{IP[version]} daddr {GB_WAN[version]} meta mark set {plan.settings.mark}"
    others_table(sites, ("filter hook prerouting priority raw", mark), ("filter hook output priority raw", mark))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[version], GB_WAN[version], CONTROL))
        wan.wait_for(CONTROL)
        transmit(sites, GA_WAN[version], (GB_WAN[version], 9), b"<local control>")
        wan.wait_for(b"<local control>")
        assert gateway.out_of_tun(b"control") == []


def test_our_own_sockets_pass_and_others_dont(sites: Sites, tmp_path: Path, version: int) -> None:
    own = Selector.net(GA_WAN[version])
    plan = Plan("test", entries=(entry(Action.PROTECT, own, Selector.net(EVERYTHING[version])),))
    mark = plan.settings.own_mark
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        for port in (500, 4500):
            data = CONTROL + str(port).encode()
            transmit(sites, GA_WAN[version], (GB_WAN[version], port), data, mark=mark, port=port)
            wan.wait_for(data)
        transmit(sites, GA_WAN[version], (GB_WAN[version], 9), MARK, port=4500)  # no mark
        gateway.wait_in_tun(MARK)
        transmit(sites, GA_WAN[version], (GB_WAN[version], 9), MARK, mark=mark, port=4600)  # not one of our ports
        gateway.wait_in_tun(MARK)
        assert wan.count(MARK) == 0


def test_a_route_of_somebody_else_into_the_tun_leads_nowhere(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway:
        before = gateway.counters().get(NOT_STEERED, 0)
        elsewhere = {4: "10.77.0.0/16", 6: "fd77::/64"}[version]
        sites.run("ga", ["ip", "route", "add", elsewhere, "dev", "ipsecd0"])
        send(sites, "ha", udp(HA[version], elsewhere.split("/")[0].removesuffix("0") + "1", CONTROL))
        send(sites, "ha", udp(HA[version], HB[version], MARK))
        gateway.wait_in_tun(MARK)
        assert gateway.out_of_tun(CONTROL) == []
        assert gateway.counters()[NOT_STEERED] > before


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_opened_packets_arrive_whatever_rp_filter(tmp_path: Path, version: int, rp_filter: int) -> None:
    with (
        Sites(rp_filter=rp_filter) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ha", "eth0") as lan,
    ):
        gateway.into_tun([udp(HB[version], HA[version], MARK)])
        lan.wait_for(MARK)
        gateway.into_tun(fragments(HB[version], HA[version], CONTROL))
        lan.wait_for(CONTROL)
        gateway.into_tun([ping(HB[version], GA_LAN[version], b"<for the gateway>")])
        gateway.wait_in_tun(b"<for the gateway>")  # its answer
        assert gateway.problems() == ()


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_opened_packets_arrive_without_any_default_route(tmp_path: Path, version: int, rp_filter: int) -> None:
    with (
        Sites(rp_filter=rp_filter, default_routes=False) as sites,
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ha", "eth0") as lan,
    ):
        gateway.into_tun([udp(HB[version], HA[version], MARK)])
        lan.wait_for(MARK)
        send(sites, "ha", udp(HA[version], HB[version], CONTROL))
        gateway.wait_in_tun(CONTROL)


def test_opened_packets_pass_a_reverse_path_check_made_by_nftables(sites: Sites, tmp_path: Path, version: int) -> None:
    """As firewalld does it: behind mangle's place, by source, mark and interface."""
    others_table(sites, ("filter hook prerouting priority -290", "fib saddr . mark . iif oif missing drop"))
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ha", "eth0") as lan:
        gateway.into_tun([udp(HB[version], HA[version], MARK)])
        lan.wait_for(MARK)


def test_a_hub_sends_what_came_from_one_spoke_back_into_the_tun(sites: Sites, tmp_path: Path, version: int) -> None:
    spokes = {4: ("10.21.0.0/24", "10.22.0.0/24"), 6: ("fd21::/64", "fd22::/64")}[version]
    everything = Selector.net({4: "10.0.0.0/8", 6: "fd00::/8"}[version])
    entries = [
        entry(Action.PROTECT, everything, Selector.net(spoke), f"spoke/{number}")
        for number, spoke in enumerate(spokes, start=1)
    ]
    blocks = entry(Action.BLOCK, *[Selector.net(EVERYTHING[version])] * 2, "default-action")
    for block in ((), (blocks,)):
        with (
            Gateway(sites, tmp_path, Plan("test", entries=(*entries, *block))) as gateway,
            Capture(sites, "ga", "wan0") as wan,
            Capture(sites, "ha", "eth0") as lan,
        ):
            one, two = (spoke.split("/")[0].removesuffix("0") + "1" for spoke in spokes)
            gateway.into_tun([udp(one, two, MARK)])
            gateway.wait_in_tun(MARK)
            gateway.into_tun([udp(one, HA[version], CONTROL)])
            lan.wait_for(CONTROL)
            assert wan.count(MARK) == 0
            assert gateway.counters()["hits.spoke/2"] == 1


def test_an_answer_to_a_local_service_goes_back_through_the_tun(sites: Sites, tmp_path: Path, version: int) -> None:
    def serve() -> socket.socket:
        server = socket.socket(FAMILY[version], socket.SOCK_STREAM)
        server.bind((GA_LAN[version], 7777))
        server.listen()
        return server

    with (
        sites.inside("ga", serve),
        Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway,
        Capture(sites, "ga", "wan0") as wan,
    ):
        gateway.into_tun([tcp(HB[version], GA_LAN[version], b"", sport=4000, dport=7777, flags="S")])
        ports = b"\x1e\x61\x0f\xa0"
        (answer,) = gateway.wait_in_tun(ports)
        assert ports in answer
        assert wan.count(ports) == 0
