"""What the floor lets pass, as an answer about one packet, and as the rules of the table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.exempt import exemption
from ipsecd.policy.floor import ruleset
from ipsecd.policy.plan import Plan

OURS = frozenset(map(ip_address, ("192.0.2.1", "10.1.0.1", "fe80::1", "2001:db8::1")))
PLAN = Plan(policy="p", ike_port=500, natt_port=4_500)
LOOPBACK = "loopback, which never leaves this machine"
UDP = "IKE, or ESP in UDP, of ipsecd itself"
IP = "ESP or AH of ipsecd itself"
NEIGHBOURS = "IPv6 neighbour or router discovery"
LISTENERS = "IPv6 multicast listener discovery"
INSIDE = "DHCP, by an interface of the inside"


def flow(source: str, destination: str, protocol: int = 0, *ports: int | None) -> Flow:
    """``ports``: of the source, of the destination; or ICMP's type * 256 + code."""
    return Flow.build(ip_address(source), ip_address(destination), protocol, *ports)


@pytest.mark.parametrize(
    ("packet", "leaving", "arriving"),
    [
        (flow("127.0.0.1", "127.0.0.1", 6, 1_024, 80), LOOPBACK, LOOPBACK),
        (flow("::1", "::1"), LOOPBACK, LOOPBACK),
        (flow("192.0.2.1", "10.1.0.1"), LOOPBACK, LOOPBACK),
        (flow("192.0.2.1", "192.0.2.2"), "", ""),
        (flow("192.0.2.1", "192.0.2.2", 17, 500, 500), UDP, ""),
        (flow("192.0.2.1", "192.0.2.2", 17, 4_500, 1_024), UDP, ""),
        (flow("192.0.2.1", "192.0.2.2", 17, None, 4_500), UDP, ""),
        (flow("192.0.2.1", "192.0.2.2", 17, 1_024, 500), "", ""),
        (flow("192.0.2.1", "192.0.2.2", 6, 500, 500), "", ""),
        (flow("10.1.0.2", "192.0.2.2", 17, 500, 500), "", ""),  # a host behind us is no ipsecd of ours
        (flow("192.0.2.2", "192.0.2.1", 17, 1_024, 4_500), "", UDP),
        (flow("192.0.2.2", "192.0.2.1", 17, 500, 1_024), "", ""),
        (flow("192.0.2.2", "10.1.0.2", 17, 500, 500), "", ""),
        (flow("192.0.2.1", "192.0.2.2", 50), IP, ""),
        (flow("2001:db8::2", "2001:db8::1", 51), "", IP),
        (flow("10.1.0.2", "192.0.2.2", 50), "", ""),
        (flow("fe80::2", "ff02::1", 58, 135 << 8), NEIGHBOURS, NEIGHBOURS),
        (flow("2001:db8::1", "2001:db8::2", 58, 137 << 8), NEIGHBOURS, NEIGHBOURS),
        (flow("fe80::1", "ff02::16", 58, 143 << 8), LISTENERS, LISTENERS),
        (flow("::", "ff02::16", 58, 143 << 8), LISTENERS, LISTENERS),
        (flow("2001:db8::1", "ff02::16", 58, 143 << 8), "", ""),
        (flow("2001:db8::1", "2001:db8::2", 58, 128 << 8), "", ""),
        (flow("2001:db8::1", "2001:db8::2", 58), "", ""),
        (flow("0.0.0.0", "255.255.255.255", 17, 68, 67), "DHCP", "DHCP"),
        (flow("192.0.2.1", "192.0.2.9", 17, None, 67), INSIDE, ""),
        (flow("192.0.2.9", "192.0.2.1", 17, 67, 68), "", INSIDE),
        (flow("192.0.2.9", "192.0.2.1", 17, 1_024, 68), "", ""),
        (flow("10.1.0.2", "10.2.0.2", 17, 68, 67), "", ""),  # forwarded
        (flow("fe80::1", "ff02::1:2", 17, 546, 547), "DHCPv6", "DHCPv6"),
        (flow("fe80::1", "fe80::2", 17, 547, 546), "DHCPv6", "DHCPv6"),
        (flow("2001:db8::1", "2001:db8::2", 17, 546, 547), "", ""),
        (flow("2001:db8::1", "ff02::1:2", 17, 546, 547), "", ""),
        (flow("fe80::1", "ff02::1:2", 17, 68, 67), "", ""),
    ],
)
def test_what_is_exempt_by_direction(packet: Flow, leaving: str, arriving: str) -> None:
    assert exemption(PLAN, packet, OURS, outbound=True) == leaving
    assert exemption(PLAN, packet, OURS, outbound=False) == arriving


def test_ports_of_our_own_are_those_of_the_plan() -> None:
    plan = replace(PLAN, ike_port=1_500, natt_port=14_500)
    packet = flow("192.0.2.1", "192.0.2.2", 17, 14_500, 14_500)
    assert exemption(plan, packet, OURS, outbound=True) == UDP
    assert exemption(PLAN, packet, OURS, outbound=True) == ""


def test_the_table_exempts_the_same() -> None:
    """Who adds an exemption here or there has to add it to the list that both come from."""
    lines = [line.strip() for line in ruleset(replace(PLAN, ike_port=1_500, natt_port=14_500), ("wan0",)).splitlines()]
    discovery = "icmpv6 type { 133, 134, 135, 136, 137 } ip6 hoplimit 255"
    listeners = "icmpv6 type { 130, 131, 132, 143 } ip6 hoplimit 1"
    dhcp = "meta nfproto ipv4 udp sport { 67, 68 } udp dport { 67, 68 }"
    dhcpv6 = "meta nfproto ipv6 udp sport { 546, 547 } udp dport { 546, 547 } ip6 saddr fe80::/10"
    arriving = lines.index("chain exempt_arriving {")
    assert lines[arriving + 1 : lines.index("}", arriving)] == [
        "udp dport { 1500, 14500 } fib daddr type local accept",
        "meta l4proto { 50, 51 } fib daddr type local accept",
        f"{discovery} accept",
        f"{listeners} ip6 saddr :: accept",
        f"{listeners} ip6 saddr fe80::/10 accept",
        f"{dhcpv6} ip6 daddr fe80::/10 accept",
        f"{dhcpv6} ip6 daddr ff02::1:2 accept",
        f"{dhcp} fib daddr type broadcast accept",
        f'{dhcp} fib daddr type local iifname != {{ "wan0" }} accept',
    ]
    departing = lines.index("chain exempt_departing {")
    assert lines[departing + 1 : lines.index("}", departing)] == [
        "iif 0 meta mark & 0x07000000 == 0x02000000 udp sport { 1500, 14500 } accept",
        "iif 0 meta mark & 0x07000000 == 0x02000000 meta l4proto { 50, 51 } accept",
        f"{discovery} ip6 daddr fe80::/10 accept",
        f"{discovery} ip6 daddr ff00::/8 accept",
        f"{discovery} jump exempt_neighbour",
        f"{listeners} ip6 saddr :: accept",
        f"{listeners} ip6 saddr fe80::/10 accept",
        f"iif 0 {dhcpv6} ip6 daddr fe80::/10 accept",
        f"iif 0 {dhcpv6} ip6 daddr ff02::1:2 accept",
        f"iif 0 {dhcp} fib daddr type broadcast accept",
        f'iif 0 {dhcp} oifname != {{ "wan0" }} accept',
    ]
