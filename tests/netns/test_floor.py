"""No cleartext passes where a rule protects or blocks, whatever else happens to the machine.

Each of these tests sends the same packets once more at its end, with the floor removed, and sees them pass: that the
wire was silent before was the floor's doing.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecd.policy.floor import EntryCounters, entry_counters
from ipsecd.policy.plan import Action, Plan
from ipsecd.wire.selector import Selector
from tests.netns import damage
from tests.netns.capture import Capture, send
from tests.netns.gateway import Gateway, between_sites, entry, others_table
from tests.netns.packets import fragments, ping, tcp, time_exceeded, udp
from tests.netns.places import EVERYTHING, GA_LAN, GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.parametrize("version", [4, 6])]

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
FRAGMENTED = b"<fragment>"
FENCE = b"<uncovered packet>"
IP_NODEFRAG = 22


def nothing(_: Gateway) -> None:
    """The machine is as it should be."""


def masquerade(gateway: Gateway) -> None:
    others_table(gateway.sites, ("nat hook postrouting priority srcnat", 'oifname "wan0" masquerade'))


def more_specific_route(gateway: Gateway) -> None:
    for route in damage.more_specific_routes(HB.values()):
        gateway.sites.run("ga", ["ip", "route", "add", *route.split()])


def routing_rule_before_ours(gateway: Gateway) -> None:
    for version in (4, 6):
        gateway.sites.run("ga", ["ip", f"-{version}", "rule", "add", "pref", "10", "lookup", "main"])


def tun_deleted(gateway: Gateway) -> None:
    damage.delete_tun(gateway.sites)


def tun_deleted_and_rules_flushed(gateway: Gateway) -> None:
    tun_deleted(gateway)
    rules_flushed(gateway)


def rules_flushed(gateway: Gateway) -> None:
    damage.flush_rules(gateway.sites)


def routes_flushed(gateway: Gateway) -> None:
    damage.flush_routes(gateway.sites)


def daemon_dead(gateway: Gateway) -> None:
    gateway.state.close()


def marks_rewritten(gateway: Gateway) -> None:
    """Another program sets the whole mark where packets are steered, and behind it."""
    others_table(
        gateway.sites,
        ("filter hook prerouting priority 0", "meta mark set 0x10"),
        ("route hook output priority 0", "meta mark set 0x10"),
    )


CIRCUMSTANCES = [
    nothing,
    masquerade,
    more_specific_route,
    routing_rule_before_ours,
    tun_deleted,
    tun_deleted_and_rules_flushed,
    rules_flushed,
    routes_flushed,
    daemon_dead,
    marks_rewritten,
]
ACTIONS = [Action.PROTECT, Action.BLOCK]


def traffic(source: str, destination: str, mark: bytes) -> Sequence[bytes]:
    """Packets of several protocols, whole and in fragments; the mark is in each."""
    whole = [udp(source, destination, mark), tcp(source, destination, mark), ping(source, destination, mark)]
    return [*whole, *fragments(source, destination, mark + FRAGMENTED)]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_nothing_forwarded_leaves_in_clear(
    sites: Sites, tmp_path: Path, version: int, circumstance: Callable[[Gateway], None], action: Action
) -> None:
    with Gateway(sites, tmp_path, between_sites(action)) as gateway, Capture(sites, "ga", "wan0") as wan:
        circumstance(gateway)
        send(sites, "ha", *traffic(HA[version], HB[version], MARK))
        send(sites, "ha", udp(HA[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", *traffic(HA[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)
        wan.wait_for(CONTROL + FRAGMENTED)
        assert wan.count(MARK) == 0


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_nothing_of_the_gateway_itself_leaves_in_clear(
    sites: Sites, tmp_path: Path, version: int, circumstance: Callable[[Gateway], None], action: Action
) -> None:
    with Gateway(sites, tmp_path, between_sites(action)) as gateway, Capture(sites, "ga", "wan0") as wan:
        circumstance(gateway)
        for packet in traffic(GA_LAN[version], HB[version], MARK):
            with contextlib.suppress(OSError):  # the floor and the unreachable route tell the sender
                send(sites, "ga", packet)
        send(sites, "ga", udp(GA_WAN[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ga", *traffic(GA_LAN[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)
        wan.wait_for(CONTROL + FRAGMENTED)
        assert wan.count(MARK) == 0


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("circumstance", [nothing, tun_deleted_and_rules_flushed, routes_flushed, daemon_dead])
def test_nothing_in_clear_reaches_the_inside(
    sites: Sites, tmp_path: Path, version: int, circumstance: Callable[[Gateway], None], action: Action
) -> None:
    with Gateway(sites, tmp_path, between_sites(action)) as gateway, Capture(sites, "ha", "eth0") as lan:
        circumstance(gateway)
        send(sites, "hb", *traffic(HB[version], HA[version], MARK))
        send(sites, "gb", udp(GB_WAN[version], HA[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", *traffic(HB[version], HA[version], CONTROL))
        lan.wait_for(CONTROL)
        lan.wait_for(CONTROL + FRAGMENTED)
        assert lan.count(MARK) == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_in_clear_reaches_the_gateway_itself(
    sites: Sites, tmp_path: Path, version: int, action: Action
) -> None:
    with Gateway(sites, tmp_path, between_sites(action)) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "hb", ping(HB[version], GA_LAN[version], MARK))
        send(sites, "gb", ping(GB_WAN[version], GA_LAN[version], FENCE))
        wan.wait(lambda seen: seen.outgoing and FENCE in seen.packet, "an answer to an uncovered ping")
        assert wan.count(MARK) == 1  # the request alone
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", ping(HB[version], GA_LAN[version], CONTROL))
        wan.wait(lambda seen: seen.outgoing and CONTROL in seen.packet, "an answer without the floor")


def test_source_nat_into_a_protected_address_is_seen(sites: Sites, tmp_path: Path, version: int) -> None:
    """What wasn't covered before it was masqueraded is covered behind it."""
    remote = Selector.net(GB_WAN[version])
    plan = Plan("test", entries=(entry(Action.PROTECT, Selector.net(GA_WAN[version]), remote),))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        masquerade(gateway)
        send(sites, "ha", udp(HA[version], GB_WAN[version], MARK))
        send(sites, "ha", udp(HA[version], HB[version], FENCE))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", udp(HA[version], GB_WAN[version], CONTROL, sport=4444))
        wan.wait_for(CONTROL)


def test_destination_nat_hides_nothing_from_the_floor(sites: Sites, tmp_path: Path, version: int) -> None:
    """What comes in clear from the far side for a protected address is dropped before it can be sent elsewhere."""
    family = {4: "ip", 6: "ip6"}[version]
    redirect = f'iifname "wan0" {family} daddr {GA_LAN[version]} dnat to {HA[version]}'
    others_table(sites, ("nat hook prerouting priority dstnat", redirect))
    plan = Plan("test", entries=(entry(Action.PROTECT, Selector.net(GA_LAN[version]), Selector.net(NET_B[version])),))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ha", "eth0") as lan:
        send(sites, "hb", udp(HB[version], GA_LAN[version], MARK))
        send(sites, "gb", udp(GB_WAN[version], GA_LAN[version], FENCE))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "hb", udp(HB[version], GA_LAN[version], CONTROL, sport=4444))
        lan.wait_for(CONTROL)


@pytest.mark.parametrize("action", ACTIONS)
def test_later_fragments_of_a_packet_matched_by_port_dont_pass(
    sites: Sites, tmp_path: Path, version: int, action: Action
) -> None:
    plan = between_sites(action, protocol=17, ports=(4001, 4001))
    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        tun_deleted_and_rules_flushed(gateway)
        send(sites, "ha", *fragments(HA[version], HB[version], MARK))
        send(sites, "ha", *fragments(HA[version], HB[version], FENCE, dport=5))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", *fragments(HA[version], HB[version], CONTROL))
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_fragments_that_escape_reassembly_are_judged_by_their_addresses(
    sites: Sites, tmp_path: Path, version: int, action: Action
) -> None:
    """IPv4: a raw socket may refuse reassembly. IPv6: an untracked packet is not reassembled in the output hook."""
    plan = between_sites(action, protocol=17, ports=(4001, 4001))
    others_table(sites, ("filter hook output priority -450", "notrack"))

    def scatter(destination: str, mark: bytes) -> None:
        for piece in fragments(GA_LAN[version], destination, mark, dport=5):
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, 255) as opened,
            ):
                if version == 4:
                    opened.setsockopt(socket.IPPROTO_IP, IP_NODEFRAG, 1)
                else:
                    opened.setsockopt(socket.IPPROTO_IPV6, 36, 1)
                opened.sendto(piece, (destination, 0))

    with Gateway(sites, tmp_path, plan) as gateway, Capture(sites, "ga", "wan0") as wan:
        tun_deleted(gateway)
        sites.inside("ga", scatter, HB[version], MARK)
        sites.inside("ga", scatter, GB_WAN[version], FENCE)
        wan.wait_for(FENCE)
        assert wan.count(FENCE) >= 4, "the fragments were put together after all"
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        sites.inside("ga", scatter, HB[version], CONTROL)
        wan.wait_for(CONTROL)


def test_errors_that_quote_opened_packets_dont_leave_in_clear(sites: Sites, tmp_path: Path, version: int) -> None:
    """Neither those of a router inside whose address no rule covers, nor the kernel's own."""
    stranger = {4: "10.1.99.9", 6: "fd99::9"}[version]
    sites.run("ga", ["ip", "route", "add", stranger, "dev", "lan0"])
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", time_exceeded(stranger, udp(HB[version], HA[version], MARK)))
        gateway.into_tun([udp(HB[version], HA[version], MARK, hops=1)])
        send(sites, "ha", time_exceeded(stranger, udp(GB_WAN[version], HA[version], FENCE)))
        wan.wait_for(FENCE)
        assert wan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "ha", time_exceeded(stranger, udp(HB[version], HA[version], CONTROL)))
        wan.wait_for(CONTROL)
        gateway.into_tun([udp(HB[version], HA[version], b"<of the kernel>", hops=1)])
        wan.wait_for(b"<of the kernel>")


def test_errors_in_clear_about_protected_packets_dont_come_in(sites: Sites, tmp_path: Path, version: int) -> None:
    with Gateway(sites, tmp_path, between_sites(Action.PROTECT)) as gateway, Capture(sites, "ha", "eth0") as lan:
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], HB[version], MARK)))
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], GB_WAN[version], FENCE)))
        lan.wait_for(FENCE)
        assert lan.count(MARK) == 0
        gateway.do(gateway.nftables.remove())
        send(sites, "gb", time_exceeded(GB_WAN[version], udp(HA[version], HB[version], CONTROL)))
        lan.wait_for(CONTROL)


def test_permitted_traffic_and_traffic_of_no_rule_pass(sites: Sites, tmp_path: Path, version: int) -> None:
    local, remote = Selector.net(NET_A[version]), Selector.net(NET_B[version])
    plan = Plan(
        "test",
        entries=(
            entry(Action.PERMIT, Selector.net(HA[version]), Selector.net(HB[version]), "open/1"),
            entry(Action.BLOCK, local, remote, "shut/1"),
        ),
    )
    with Gateway(sites, tmp_path, plan), Capture(sites, "ha", "eth0") as lan:
        send(sites, "ha", ping(HA[version], HB[version], MARK))
        lan.wait(lambda seen: not seen.outgoing and MARK in seen.packet, "the answer of the far host")
        send(sites, "ha", ping(HA[version], GB_WAN[version], CONTROL))
        lan.wait(lambda seen: not seen.outgoing and CONTROL in seen.packet, "the answer of an uncovered host")


def test_a_block_that_covers_all_takes_nothing_from_the_rules_before_it(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """What is forwarded arrives and leaves: a narrower rule that covers it either way stands before a block of all."""
    everything = Selector.net(EVERYTHING[version])
    plan = Plan(
        "test",
        entries=(
            entry(Action.PROTECT, Selector.net(NET_A[version]), Selector.net(NET_B[version]), "tunnel/1"),
            entry(Action.PERMIT, Selector.net(HA[version]), Selector.net(GB_WAN[version]), "open/1"),
            entry(Action.BLOCK, everything, everything, "default-action"),
        ),
    )
    with (
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ha", "eth0") as lan,
        Capture(sites, "ga", "wan0") as wan,
    ):
        send(sites, "ha", *traffic(HA[version], HB[version], MARK))
        gateway.wait_in_tun(MARK, packets=4)
        gateway.into_tun([udp(HB[version], HA[version], CONTROL)])
        lan.wait_for(CONTROL)
        send(sites, "ha", ping(HA[version], GB_WAN[version], FENCE))
        lan.wait(lambda seen: not seen.outgoing and FENCE in seen.packet, "the answer of a permitted host")
        assert wan.count(MARK) == 0
        lan.seen.clear()
        send(sites, "hb", udp(HB[version], HA[version], b"<in clear>"))
        send(sites, "gb", udp(GB_WAN[version], HA[version], b"<permitted>"))
        lan.wait_for(b"<permitted>")
        assert lan.count(b"<in clear>") == 0
        others = {4: "10.1.0.77", 6: "fd01::77"}[version]
        send(sites, "ha", udp(others, GB_WAN[version], b"<blocked>"))
        send(sites, "ha", udp(HA[version], GB_WAN[version], b"<behind it>"))
        wan.wait_for(b"<behind it>")
        assert wan.count(b"<blocked>") == 0


def test_a_block_that_covers_all_takes_nothing_from_the_gateway_itself_either(
    sites: Sites, tmp_path: Path, version: int
) -> None:
    """What it sends, by a rule, by a permit that isn't mirrored, and by neither; and what comes to it."""
    everything = Selector.net(EVERYTHING[version])
    ours, theirs = Selector.net(GA_WAN[version]), Selector.net(GB_WAN[version])
    plan = Plan(
        "test",
        entries=(
            replace(entry(Action.PERMIT, ours, theirs, "open/1"), inbound=False),
            entry(Action.PROTECT, Selector.net(NET_A[version]), Selector.net(NET_B[version]), "tunnel/1"),
            entry(Action.BLOCK, everything, everything, "default-action"),
        ),
    )
    with (
        Gateway(sites, tmp_path, plan) as gateway,
        Capture(sites, "ga", "wan0") as wan,
        Capture(sites, "gb", "wan0") as far,
    ):
        send(sites, "ga", *traffic(GA_LAN[version], HB[version], MARK))
        gateway.wait_in_tun(MARK, packets=4)
        gateway.into_tun([ping(HB[version], GA_LAN[version], MARK)])
        gateway.wait_in_tun(MARK)  # the answer
        send(sites, "ga", ping(GA_WAN[version], GB_WAN[version], CONTROL))
        far.wait(lambda seen: seen.outgoing and CONTROL in seen.packet, "the answer to what is permitted")
        with pytest.raises(PermissionError):
            send(sites, "ga", udp(GA_WAN[version], HB[version], MARK))
        send(sites, "hb", ping(HB[version], GA_LAN[version], MARK), ping(HB[version], GA_WAN[version], MARK))
        send(sites, "ga", udp(GA_WAN[version], GB_WAN[version], FENCE))
        wan.wait_for(FENCE)
        assert not [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet]
        found = entry_counters(plan, gateway.counters())
        assert found["open/1"] == EntryCounters(hits=2, drops=0)
        assert found["tunnel/1"] == EntryCounters(hits=5, drops=1)
        assert found["default-action"].drops >= 3  # the answer, what was sent, what came; and the kernel's own
