"""What ``exemption`` says of one packet is what the chains of the floor do with it, evaluated rule by rule."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.exempt import exemption
from ipsecd.policy.floor import ruleset
from ipsecd.policy.plan import Exempt, Plan

OURS = frozenset(map(ip_address, ("192.0.2.1", "10.1.0.1", "fe80::1", "2001:db8::1")))
BROADCASTS = frozenset(map(ip_address, ("192.0.2.255", "10.1.0.255")))
HOSTS = {4: ("0.0.0.0", "10.1.0.1", "10.1.0.2", "192.0.2.9"), 6: ("::", "fe80::1", "2001:db8::1", "2001:db8::9")}
TO = {
    4: ("192.0.2.255", "198.51.100.255", "224.0.0.22", "240.0.0.1", "255.255.255.255"),
    6: ("fe80::9", "ff02::1", "ff02::1:2", "ff3e::7"),
}
PORTS = ((68, 67), (67, 68), (67, 53), (546, 547), (1_024, 88), (88, 53), (500, 500), (4_500, 53), (53, 4_500))
TYPES = (1, 128, 130, 133, 135, 137, 143)
INSIDE, OUTSIDE = "lan0", "wan0"


@dataclass(frozen=True)
class Packet:
    """A whole packet as one machine sends it, or gets it by the inside."""

    flow: Flow
    outbound: bool

    def said(self, words: list[str]) -> tuple[bool, list[str]]:
        """Whether the first match of a rule in nft's words holds, and the words behind it."""
        source, destination = self.flow.addresses()
        address = {"saddr": source, "daddr": destination}
        port = dict(zip(("sport", "dport"), self.flow.ports(), strict=True))
        version, protocol = self.flow.version, self.flow.protocol
        match words:
            case ["iif", "0", *rest]:
                return self.outbound, rest
            case ["iifname" | "oifname", "!=", name, *rest]:
                return name != INSIDE, rest
            case ["meta", "mark", "&", _, "==", "0x02000000", *rest]:
                return True, rest  # own packets have it
            case ["meta", "nfproto", family, *rest]:
                return family == f"ipv{version}", rest
            case ["meta", "l4proto", number, *rest]:
                return protocol in numbers(number), rest
            case ["meta", "pkttype", "broadcast", *rest]:
                return destination in BROADCASTS or str(destination) == "255.255.255.255", rest
            case ["udp", side, number, *rest]:
                return protocol == 17 and port[side] in numbers(number), rest
            case ["th", side, number, *rest]:
                return port[side] in numbers(number), rest
            case ["icmpv6", "type", number, *rest]:
                return protocol == 58 and self.flow.source_port >> 8 in numbers(number), rest
            case ["frag", "nexthdr", _, *rest]:
                return False, rest  # it is whole
            case ["ip6", "hoplimit", _, *rest]:
                return version == 6, rest  # on the link, each has the one that is due
            case [("ip" | "ip6") as family, side, network, *rest]:
                return version == {"ip": 4, "ip6": 6}[family] and address[side] in ip_network(network), rest
            case ["fib", "daddr", "type", kind, *rest]:
                return kind == kind_of(self.flow), rest
            case _:
                raise AssertionError(f"unknown to this test: {' '.join(words)}")


def kind_of(flow: Flow) -> str:
    """What the routing tables say of a destination."""
    _, destination = flow.addresses()
    if destination in BROADCASTS or str(destination) == "255.255.255.255":
        return "broadcast"
    return "local" if destination in OURS else "multicast" if destination.is_multicast else "unicast"


def numbers(text: str) -> set[int]:
    return set(map(int, text.strip("{} ").split(", ")))


def accepts(rules: list[str], packet: Packet) -> bool:
    """Whether a chain accepts a packet. A neighbour of any address is one, as far as the routes of this test go."""
    for rule in rules:
        words = shlex.split(rule.replace("{ ", "'{ ").replace(" }", " }'"))
        matched = True
        while matched and words not in (["accept"], ["jump", "exempt_neighbour"]):
            matched, words = packet.said(words)
        if matched:
            return True
    return False


NAMES = ("multicast", "broadcast", "rsvp", "kerberos", "neighbour_discovery", "dhcp")
ONE_AT_MOST = [Exempt(*(name == other for other in NAMES)) for name in ("", *NAMES)]
EXEMPTS = [*ONE_AT_MOST, Exempt(), Exempt(multicast=True, broadcast=True, rsvp=True, kerberos=True)]


def chains(exempt: Exempt) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rules: list[str] = []
    for line in ruleset(Plan(policy="p", exempt=exempt), (OUTSIDE,)).splitlines():
        if line.startswith("\tchain "):
            rules = found[line.split()[1]] = []
        elif line.startswith("\t\t"):
            rules.append(line.strip())
    return found


CHAINS = {exempt: chains(exempt) for exempt in EXEMPTS}


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    version = draw(st.sampled_from((4, 6)))
    source = draw(st.sampled_from(HOSTS[version]))
    destination = draw(st.sampled_from(HOSTS[version] + TO[version]))
    protocol = draw(st.sampled_from((6, 17, 17, 46, 50, 132, 2 if version == 4 else 58)))
    ports: tuple[int, ...] = ()
    if protocol == 58:
        ports = (draw(st.sampled_from(TYPES)) << 8,)
    elif protocol in (6, 17, 132):
        ports = draw(st.sampled_from(PORTS))
    return Flow.build(ip_address(source), ip_address(destination), protocol, *ports)


def passed_on(flow: Flow) -> bool:
    """Whether this machine isn't who sends it."""
    source, _ = flow.addresses()
    return source not in OURS and not source.is_unspecified


def of_a_link(flow: Flow) -> bool:
    """Whether it is of a kind that is never passed on."""
    return flow.protocol == 58 or bool({67, 68, 546, 547} & set(flow.ports()))


KERBEROS = [
    Flow.build(ip_address(source), ip_address(destination), protocol, *ports)
    for source, destination in (("192.0.2.1", "192.0.2.9"), ("192.0.2.9", "192.0.2.1"), ("10.1.0.2", "192.0.2.9"))
    for protocol in (6, 17)
    for ports in ((88, 53), (53, 88))
]


@pytest.mark.parametrize("exempt", EXEMPTS, ids=lambda exempt: "+".join(exempt.names) or "nothing")
@given(st.one_of(flows(), st.sampled_from(KERBEROS)), st.booleans())
def test_an_exemption_is_what_the_chains_let_pass(exempt: Exempt, flow: Flow, outbound: bool) -> None:
    assume(not set(flow.addresses()) <= OURS)  # loopback, which these chains never see
    rules = CHAINS[exempt]["exempt_departing" if outbound else "exempt_arriving"]
    if outbound and passed_on(flow):
        assume(not of_a_link(flow))
        rules = [rule for rule in CHAINS[exempt]["through_us"] if "jump exempt" in rule]
    told = exemption(Plan(policy="p", exempt=exempt), flow, OURS, outbound=outbound, broadcasts=BROADCASTS)
    assert bool(told) == accepts(rules, Packet(flow, outbound)), told
