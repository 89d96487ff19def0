"""What is exempt (``exempt.py``), as rules of the floor, and no wider than it needs to be.

Each exemption is a way for cleartext to pass, so each is held to the link or to this machine. What arrives must be for
us; what another table then sends on to somebody else is judged by the addresses it came with (``for_us``).
"""

from __future__ import annotations

from collections.abc import Iterable

from ipsecd.policy.classify import Chains
from ipsecd.policy.exempt import DHCP, NEIGHBOURS, OWN_PROTOCOLS, own_ports
from ipsecd.policy.marks import asking_mark, has_mark, set_mark
from ipsecd.policy.plan import Plan
from ipsecd.policy.sides import by_inside
from ipsecd.wire.registry import IpProtocol


def any_of(numbers: Iterable[int]) -> str:
    """A set of numbers in nft's words."""
    return f"{{ {', '.join(map(str, numbers))} }}"


_LINK_LOCAL = "fe80::/10"
_DISCOVERY, _LISTENERS = (f"icmpv6 type {any_of(each.types)} ip6 hoplimit {each.hop_limit}" for each in NEIGHBOURS)
_DHCP, _DHCPV6 = (
    f"meta nfproto ipv{each.version} udp sport {any_of(each.ports)} udp dport {any_of(each.ports)}" for each in DHCP
)

PIECES = f"meta l4proto {any_of((IpProtocol.UDP, *OWN_PROTOCOLS))} fib daddr type local accept"
# Fragments of what may be IKE or ESP of our own: only the first one has ports.


def chains(plan: Plan, outside: tuple[str, ...]) -> Chains:
    """``exempt_arriving`` and ``exempt_departing``, which accept what is exempt. ``iif 0`` is true for what a socket of
    this machine sent; not so, in postrouting, for the kernel's own discovery. What asks the routing tables (``fib``)
    stands behind what doesn't: packets that are nothing of that kind needn't be looked up there."""
    settings = plan.settings
    ports, protocols = any_of(own_ports(plan)), any_of(OWN_PROTOCOLS)
    ours = f"iif 0 {has_mark(settings, settings.own_mark)}"
    listeners = [f"{_LISTENERS} ip6 saddr {source} accept" for source in ("::", _LINK_LOCAL)]
    dhcpv6 = [f"{_DHCPV6} ip6 saddr {_LINK_LOCAL} ip6 daddr {to} accept" for to in (_LINK_LOCAL, "ff02::1:2")]
    return {
        "exempt_arriving": [
            f"udp dport {ports} fib daddr type local accept",
            f"meta l4proto {protocols} fib daddr type local accept",
            f"{_DISCOVERY} accept",
            *listeners,
            *dhcpv6,
            f"{_DHCP} fib daddr type broadcast accept",
            f"{_DHCP} fib daddr type local {by_inside(settings, outside, 'iifname')} accept",
        ],
        "exempt_departing": [
            f"{ours} udp sport {ports} accept",
            f"{ours} meta l4proto {protocols} accept",
            *(f"{_DISCOVERY} ip6 daddr {to} accept" for to in (_LINK_LOCAL, "ff00::/8")),
            f"{_DISCOVERY} jump exempt_neighbour",
            *listeners,
            *(f"iif 0 {rule}" for rule in dhcpv6),
            f"iif 0 {_DHCP} fib daddr type broadcast accept",
            f"iif 0 {_DHCP} {by_inside(settings, outside, 'oifname')} accept",
        ],
        "exempt_neighbour": [  # one with a global address: not what the default route leads to
            set_mark(settings, asking_mark(settings)),
            f"fib daddr . mark type unicast {set_mark(settings, 0)} accept",
            set_mark(settings, 0),
        ],
    }


def for_us(plan: Plan) -> tuple[str, ...]:
    """Matches, by what they were before destination NAT, those exempt packets that are so for being addressed to us."""
    ports = any_of((*own_ports(plan), *DHCP[0].ports))
    return f"meta l4proto udp ct original proto-dst {ports}", f"meta l4proto {any_of(OWN_PROTOCOLS)}"
