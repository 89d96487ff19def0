"""What the floor lets pass, as an answer about one packet, and as the rules of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.exempt import exemption
from ipsecd.policy.floor import ruleset
from ipsecd.policy.plan import Exempt, Plan
from tests.unit.policy.texts import planned

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


FOUR = ("multicast", "broadcast", "rsvp", "kerberos")
LEVELS = {  # Windows' NoDefaultExempt: multicast, broadcast, RSVP, Kerberos
    0: (True, True, True, True),
    1: (True, True, False, False),
    2: (False, False, True, True),
    3: (False, False, False, False),
}


def exempted(**exemptions: object) -> Exempt:
    """What a policy with these exemptions exempts."""
    given = ", ".join(f"{name}: {str(value).lower()}" for name, value in exemptions.items())
    return planned(f"assigned: p\npolicies: {{p: {{exemptions: {{{given}}}}}}}\n").exempt


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("toggle", FOUR)
def test_a_level_is_that_of_windows_and_a_toggle_wins_over_it(level: int, toggle: str) -> None:
    plain = Exempt(*LEVELS[level])
    assert exempted(level=level) == plain
    for value in (False, True):
        changes: Mapping[str, bool] = {toggle: value}
        assert exempted(level=level, **changes) == replace(plain, **changes)


def test_without_a_word_only_what_keeps_a_machine_on_its_network_is_exempt() -> None:
    assert exempted() == Exempt(False, False, False, False, True, True)
    assert exempted().names == ("neighbour_discovery", "dhcp")
    assert exempted(level=0, neighbour_discovery=False, dhcp=False).names == FOUR


BROADCASTS = frozenset(map(ip_address, ("192.0.2.255", "10.1.255.255")))


@pytest.mark.parametrize(
    ("packet", "name", "leaving", "arriving"),
    [
        (flow("192.0.2.1", "192.0.2.9", 17, 1_024, 88), "kerberos", "Kerberos", ""),
        (flow("192.0.2.1", "192.0.2.9", 6, 1_024, 88), "kerberos", "Kerberos", ""),
        (flow("192.0.2.1", "192.0.2.9", 6, None, 88), "kerberos", "Kerberos", ""),
        (flow("2001:db8::9", "2001:db8::1", 6, 88, 22), "kerberos", "", "Kerberos"),
        (flow("10.1.0.1", "192.0.2.9", 17, 88, 1_024), "kerberos", "Kerberos", ""),
        (flow("192.0.2.9", "192.0.2.1", 17, 1_024, 88), "kerberos", "", "Kerberos"),
        (flow("10.1.0.2", "192.0.2.9", 17, 1_024, 88), "kerberos", "", ""),  # of a host behind us
        (flow("192.0.2.1", "192.0.2.9", 17, 1_024, 89), "kerberos", "", ""),
        (flow("192.0.2.1", "192.0.2.9", 17), "kerberos", "", ""),
        (flow("192.0.2.1", "192.0.2.9", 132, 88, 88), "kerberos", "", ""),
        (flow("192.0.2.1", "192.0.2.9", 46), "rsvp", "RSVP", ""),
        (flow("192.0.2.9", "192.0.2.1", 46), "rsvp", "", "RSVP"),
        (flow("10.1.0.2", "10.2.0.2", 46), "rsvp", "", ""),
        (flow("192.0.2.1", "239.1.2.3", 46), "rsvp", "RSVP", "RSVP"),
        (flow("10.2.0.2", "239.1.2.3", 46), "rsvp", "", "RSVP"),
        (flow("192.0.2.1", "239.1.2.3", 17, 5, 6), "multicast", "multicast", "multicast"),
        (flow("0.0.0.0", "224.0.0.22", 2), "multicast", "multicast", "multicast"),
        (flow("::", "ff02::16", 58, 143 << 8), "multicast", LISTENERS, LISTENERS),
        (flow("2001:db8::1", "ff3e::1", 17, 5, 6), "multicast", "multicast", "multicast"),
        (flow("2001:db8::9", "ff3e::1", 17, 5, 6), "multicast", "", "multicast"),  # passed on for others
        (flow("192.0.2.1", "255.255.255.255", 17, 5, 6), "multicast", "", ""),
        (flow("192.0.2.1", "192.0.2.9", 17, 5, 6), "multicast", "", ""),
        (flow("192.0.2.1", "255.255.255.255", 17, 5, 6), "broadcast", "broadcast", "broadcast"),
        (flow("0.0.0.0", "255.255.255.255", 1, 8 << 8), "broadcast", "broadcast", "broadcast"),
        (flow("192.0.2.1", "192.0.2.255", 17, 137, 137), "broadcast", "broadcast", "broadcast"),
        (flow("10.1.0.2", "192.0.2.255", 17, 137, 137), "broadcast", "", "broadcast"),
        (flow("192.0.2.1", "198.51.100.255", 17, 137, 137), "broadcast", "", ""),  # of a network that isn't ours
        (flow("192.0.2.1", "239.1.2.3", 17, 5, 6), "broadcast", "", ""),
    ],
)  # fmt: skip
def test_what_a_toggle_exempts_by_direction(packet: Flow, name: str, leaving: str, arriving: str) -> None:
    """It is this machine's own, and without the toggle it isn't exempt."""
    changes: Mapping[str, bool] = {name: True}
    plan = replace(PLAN, exempt=replace(PLAN.exempt, **changes))
    for outbound, told in ((True, leaving), (False, arriving)):
        assert exemption(plan, packet, OURS, outbound=outbound, broadcasts=BROADCASTS) == told
        without = exemption(PLAN, packet, OURS, outbound=outbound, broadcasts=BROADCASTS)
        assert without == (LISTENERS if told == LISTENERS else "")


@pytest.mark.parametrize(
    ("name", "packet"),
    [
        ("neighbour_discovery", flow("fe80::1", "ff02::1", 58, 135 << 8)),
        ("neighbour_discovery", flow("::", "ff02::16", 58, 143 << 8)),
        ("dhcp", flow("0.0.0.0", "255.255.255.255", 17, 68, 67)),
        ("dhcp", flow("192.0.2.1", "192.0.2.9", 17, 68, 67)),
        ("dhcp", flow("fe80::1", "ff02::1:2", 17, 546, 547)),
    ],
)
def test_what_a_machine_lives_on_can_be_taken_away(name: str, packet: Flow) -> None:
    changes: Mapping[str, bool] = {name: False}
    plan = replace(PLAN, exempt=replace(PLAN.exempt, **changes))
    assert exemption(PLAN, packet, OURS, outbound=True)
    assert exemption(plan, packet, OURS, outbound=True) == ""


def test_our_own_ike_and_esp_are_exempt_whatever_else_is() -> None:
    plan = replace(PLAN, exempt=Exempt(neighbour_discovery=False, dhcp=False))
    assert exemption(plan, flow("192.0.2.1", "192.0.2.2", 17, 500, 500), OURS, outbound=True) == UDP
    assert exemption(plan, flow("192.0.2.2", "192.0.2.1", 50), OURS, outbound=False) == IP
    assert exemption(plan, flow("::1", "::1"), OURS, outbound=True) == LOOPBACK


def test_ports_of_our_own_are_those_of_the_plan() -> None:
    plan = replace(PLAN, ike_port=1_500, natt_port=14_500)
    packet = flow("192.0.2.1", "192.0.2.2", 17, 14_500, 14_500)
    assert exemption(plan, packet, OURS, outbound=True) == UDP
    assert exemption(PLAN, packet, OURS, outbound=True) == ""


def chain(name: str, plan: Plan) -> list[str]:
    """The rules of a chain of the table."""
    lines = [line.strip() for line in ruleset(plan, ("wan0",)).splitlines()]
    start = lines.index(f"chain {name} {{")
    return lines[start + 1 : lines.index("}", start)]


def test_the_table_exempts_the_same() -> None:
    """Who adds an exemption here or there has to add it to the list that both come from."""
    plan = replace(PLAN, ike_port=1_500, natt_port=14_500)
    discovery = "icmpv6 type { 133, 134, 135, 136, 137 } ip6 hoplimit 255"
    listeners = "icmpv6 type { 130, 131, 132, 143 } ip6 hoplimit 1"
    dhcp = "meta nfproto ipv4 udp sport { 67, 68 } udp dport { 67, 68 }"
    dhcpv6 = "meta nfproto ipv6 udp sport { 546, 547 } udp dport { 546, 547 } ip6 saddr fe80::/10"
    assert chain("exempt_arriving", plan) == [
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
    assert chain("exempt_departing", plan) == [
        "iif 0 meta mark & 0x07000000 == 0x02000000 udp sport { 1500, 14500 } accept",
        "iif 0 meta mark & 0x07000000 == 0x02000000 meta l4proto { 50, 51 } accept",
        "iif 0 meta mark & 0x07000000 == 0x02000000 frag nexthdr 51 accept",
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
    assert "chain exempt_neighbour {" in ruleset(plan)


def test_the_table_has_a_rule_for_each_thing_that_is_exempt_and_none_for_others() -> None:
    own = ["udp dport { 500, 4500 } fib daddr type local accept", "meta l4proto { 50, 51 } fib daddr type local accept"]
    ours = "iif 0 meta mark & 0x07000000 == 0x02000000"
    hidden = "frag nexthdr { 51, 60 }"  # of a later fragment of that nft finds no protocol in IPv6
    sent = [
        f"{ours} udp sport {{ 500, 4500 }} accept",
        f"{ours} meta l4proto {{ 50, 51 }} accept",
        f"{ours} frag nexthdr 51 accept",
    ]
    nothing = replace(PLAN, exempt=Exempt(neighbour_discovery=False, dhcp=False))
    assert chain("exempt_arriving", nothing) == own
    assert chain("exempt_departing", nothing) == sent
    assert "exempt_neighbour" not in ruleset(nothing)
    four = replace(PLAN, exempt=Exempt(*LEVELS[0], neighbour_discovery=False, dhcp=False))
    groups = ["ip daddr 224.0.0.0/4 accept", "ip6 daddr ff00::/8 accept"]
    assert chain("exempt_arriving", four) == [
        *own,
        "meta l4proto { 6, 17 } th sport 88 fib daddr type local accept",
        "meta l4proto { 6, 17 } th dport 88 fib daddr type local accept",
        *(f"meta l4proto 46 {group}" for group in groups),
        "meta l4proto 46 fib daddr type local accept",
        *groups,
        "meta pkttype broadcast fib daddr type broadcast accept",
    ]
    assert chain("exempt_departing", four) == [
        *sent,
        "iif 0 meta l4proto { 6, 17 } th sport 88 accept",
        "iif 0 meta l4proto { 6, 17 } th dport 88 accept",
        "iif 0 meta l4proto 46 accept",
        *groups,
        "iif 0 fib daddr type broadcast accept",
    ]
    assert chain("pieces", nothing)[0] == "meta l4proto { 17, 50, 51 } fib daddr type local goto exempt_pieces"
    assert chain("pieces", nothing)[1] == f"{hidden} fib daddr type local goto exempt_pieces"
    assert chain("pieces", four)[:5] == [
        "meta l4proto { 17, 50, 51, 6, 46 } fib daddr type local goto exempt_pieces",
        f"{hidden} fib daddr type local goto exempt_pieces",
        *(group.replace("accept", "goto exempt_pieces") for group in groups),
        "meta pkttype broadcast fib daddr type broadcast goto exempt_pieces",
    ]


def test_what_is_exempt_for_being_to_us_is_judged_again_where_it_is_passed_on() -> None:
    def again(exempt: Exempt) -> list[str]:
        before, after = "iifgroup != 4500 ct direction original ct status dnat ", " jump arriving_original"
        rules = chain("through_us", replace(PLAN, exempt=exempt))
        return [rule.removeprefix(before).removesuffix(after) for rule in rules if rule.startswith(before)]

    assert again(Exempt()) == [
        "meta l4proto udp ct original proto-dst { 500, 4500, 67, 68 }",
        "meta l4proto { 50, 51 }",
    ]
    assert again(Exempt(*LEVELS[0], dhcp=False)) == [
        "meta l4proto udp ct original proto-dst { 500, 4500 }",
        "meta l4proto { 50, 51 }",
        "meta l4proto { 6, 17 } ct original proto-src 88",
        "meta l4proto { 6, 17 } ct original proto-dst 88",
        "meta l4proto 46",
        "ct original ip daddr 224.0.0.0/4",
        "ct original ip6 daddr ff00::/8",
    ]


def test_errors_about_what_is_exempt_come_in() -> None:
    error = "fib daddr type local @th,136,8"
    esp = [f"{error} 17 @th,224,16 {{ 500, 4500 }} return", f"{error} {{ 50, 51 }} return"]
    assert chain("arriving_quoted_v4", PLAN) == esp
    assert chain("arriving_quoted_v4", replace(PLAN, exempt=Exempt(*LEVELS[2]))) == [
        *esp,
        f"{error} {{ 6, 17 }} @th,224,16 88 return",
        f"{error} {{ 6, 17 }} @th,240,16 88 return",
        f"{error} 46 return",
    ]
