"""What is exempt (``exempt.py``), as rules of the floor, and no wider than it needs to be.

Each exemption is a way for cleartext to pass, so each is held to the link or to this machine. What arrives must be for
us; what another table then sends on to somebody else is judged by the addresses it came with (``for_us``).

What goes to a group isn't held to what a socket of this machine sent (``iif 0``): in postrouting the kernel's own, and
what it passes on for a group, look alike. The latter is judged before that, where packets are forwarded. A broadcast is
one by its frame too (RFC 1122 section 3.3.6): such a frame is never forwarded, whatever its destination becomes.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipsecd.policy.classify import Chains, Quoted
from ipsecd.policy.exempt import DHCP, GROUPS, KERBEROS, KERBEROS_PORT, NEIGHBOURS, OWN_PROTOCOLS, RSVP, own_ports
from ipsecd.policy.marks import asking_mark, has_mark, set_mark
from ipsecd.policy.plan import Exempt, Plan
from ipsecd.policy.sides import by_inside
from ipsecd.wire.registry import IpProtocol


def any_of(numbers: Iterable[int]) -> str:
    """A set of numbers in nft's words."""
    return f"{{ {', '.join(str(int(number)) for number in numbers)} }}"


_LINK_LOCAL = "fe80::/10"
_DISCOVERY, _LISTENERS = (f"icmpv6 type {any_of(each.types)} ip6 hoplimit {each.hop_limit}" for each in NEIGHBOURS)
_DHCP, _DHCPV6 = (
    f"meta nfproto ipv{each.version} udp sport {any_of(each.ports)} udp dport {any_of(each.ports)}" for each in DHCP
)
_DHCPV6_LINK = tuple(f"{_DHCPV6} ip6 saddr {_LINK_LOCAL} ip6 daddr {to} accept" for to in (_LINK_LOCAL, "ff02::1:2"))
_LISTENERS_LINK = tuple(f"{_LISTENERS} ip6 saddr {source} accept" for source in ("::", _LINK_LOCAL))
_KERBEROS = tuple(f"meta l4proto {any_of(KERBEROS)} th {end} {KERBEROS_PORT}" for end in ("sport", "dport"))
_RSVP = f"meta l4proto {RSVP}"
_TO_GROUPS = f"ip daddr {GROUPS[4]}", f"ip6 daddr {GROUPS[6]}"
_TO_ALL = "fib daddr type broadcast"
_TO_ALL_BY_FRAME = f"meta pkttype broadcast {_TO_ALL}"
_TO_US = "fib daddr type local"


def chains(plan: Plan, outside: tuple[str, ...]) -> Chains:
    """``exempt_arriving`` and ``exempt_departing``, which accept what is exempt. ``iif 0`` is true for what a socket of
    this machine sent; not so, in postrouting, for the kernel's own discovery. What asks the routing tables (``fib``)
    stands behind what doesn't: packets that are nothing of that kind needn't be looked up there."""
    settings = plan.settings
    found = {
        "exempt_arriving": _arriving(plan, by_inside(settings, outside, "iifname")),
        "exempt_departing": _departing(plan, by_inside(settings, outside, "oifname")),
    }
    if plan.exempt.neighbour_discovery:
        found["exempt_neighbour"] = [  # one with a global address: not what the default route leads to
            set_mark(settings, asking_mark(settings)),
            f"fib daddr . mark type unicast {set_mark(settings, 0)} accept",
            set_mark(settings, 0),
        ]
    return found


def _arriving(plan: Plan, by_inside: str) -> list[str]:
    exempt = plan.exempt
    rules = [
        f"udp dport {any_of(own_ports(plan))} {_TO_US} accept",
        f"meta l4proto {any_of(OWN_PROTOCOLS)} {_TO_US} accept",
    ]
    if exempt.neighbour_discovery:
        rules += [f"{_DISCOVERY} accept", *_LISTENERS_LINK]
    if exempt.dhcp:
        rules += [*_DHCPV6_LINK, f"{_DHCP} {_TO_ALL} accept", f"{_DHCP} {_TO_US} {by_inside} accept"]
    if exempt.kerberos:
        rules += [f"{kerberos} {_TO_US} accept" for kerberos in _KERBEROS]
    if exempt.rsvp:
        rules += [f"{_RSVP} {to} accept" for to in (*_TO_GROUPS, _TO_US)]
    return rules + _to_several(exempt, _TO_ALL_BY_FRAME)


def _departing(plan: Plan, by_inside: str) -> list[str]:
    exempt = plan.exempt
    ours = f"iif 0 {has_mark(plan.settings, plan.settings.own_mark)}"
    rules = [
        f"{ours} udp sport {any_of(own_ports(plan))} accept",
        f"{ours} meta l4proto {any_of(OWN_PROTOCOLS)} accept",
        f"{ours} frag nexthdr {int(IpProtocol.AH)} accept",  # where connection tracking hasn't put it together before
    ]
    if exempt.neighbour_discovery:
        rules += [f"{_DISCOVERY} ip6 daddr {to} accept" for to in (_LINK_LOCAL, GROUPS[6])]
        rules += [f"{_DISCOVERY} jump exempt_neighbour", *_LISTENERS_LINK]
    if exempt.dhcp:
        rules += [f"iif 0 {rule}" for rule in _DHCPV6_LINK]
        rules += [f"iif 0 {_DHCP} {_TO_ALL} accept", f"iif 0 {_DHCP} {by_inside} accept"]
    if exempt.kerberos:
        rules += [f"iif 0 {kerberos} accept" for kerberos in _KERBEROS]
    if exempt.rsvp:
        rules.append(f"iif 0 {_RSVP} accept")
    return rules + _to_several(exempt, f"iif 0 {_TO_ALL}")


def _to_several(exempt: Exempt, to_all: str) -> list[str]:
    return [f"{to} accept" for to in _several(exempt, to_all)]


def _several(exempt: Exempt, to_all: str) -> tuple[str, ...]:
    return *_TO_GROUPS * exempt.multicast, *(to_all,) * exempt.broadcast


def pieces(plan: Plan) -> list[str]:
    """Fragments of what may be exempt as a whole go to ``exempt_pieces``: only the first one has ports. Of a later one
    nft finds no protocol, if it begins with what IPv6 counts as an extension header: AH, or options for the destination
    in front of that."""
    exempt = plan.exempt
    protocols = [IpProtocol.UDP, *OWN_PROTOCOLS, *[IpProtocol.TCP] * exempt.kerberos, *[RSVP] * exempt.rsvp]
    hidden = f"frag nexthdr {any_of((IpProtocol.AH, IpProtocol.DESTINATION))}"
    matches = [f"meta l4proto {any_of(protocols)} {_TO_US}", f"{hidden} {_TO_US}"]
    return [f"{match} goto exempt_pieces" for match in (*matches, *_several(exempt, _TO_ALL_BY_FRAME))]


def quoted(plan: Plan, place: Quoted) -> tuple[str, ...]:
    """Matches, in an ICMP error to this machine, what it quotes, if that is exempt and so went out in clear."""
    exempt = plan.exempt
    matches = [
        f"{place.protocol} {int(IpProtocol.UDP)} {place.sport} {any_of(own_ports(plan))}",
        f"{place.protocol} {any_of(OWN_PROTOCOLS)}",
    ]
    if exempt.kerberos:
        ports = (place.sport, place.dport)
        matches += [f"{place.protocol} {any_of(KERBEROS)} {port} {KERBEROS_PORT}" for port in ports]
    if exempt.rsvp:
        matches.append(f"{place.protocol} {RSVP}")
    return tuple(matches)


def for_us(plan: Plan) -> tuple[str, ...]:
    """Matches, by what they were before destination NAT, those exempt packets that are so for being addressed to us, or
    to a group."""
    exempt = plan.exempt
    ports = any_of((*own_ports(plan), *DHCP[0].ports * exempt.dhcp))
    matches = [f"meta l4proto udp ct original proto-dst {ports}", f"meta l4proto {any_of(OWN_PROTOCOLS)}"]
    if exempt.kerberos:
        ends = ("proto-src", "proto-dst")
        matches += [f"meta l4proto {any_of(KERBEROS)} ct original {end} {KERBEROS_PORT}" for end in ends]
    if exempt.rsvp:
        matches.append(_RSVP)
    return (*matches, *(f"ct original {to}" for to in _TO_GROUPS * exempt.multicast))
