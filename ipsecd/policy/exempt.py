"""What the floor never stops: what a network can't work without, and what ipsecd itself says and hears.

One list, from which ``floor.py`` makes rules of nftables and ``exemption`` an answer about one packet. RFC 4301 section
4.4.1 wants such traffic to be named in the SPD; here every policy has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.policy.plan import Plan
from ipsecd.policy.traffic import ICMPV6
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Messages:
    """ICMPv6 messages that are valid with one hop limit only, so none of them was or will be forwarded."""

    name: str
    types: tuple[int, ...]
    hop_limit: int


@dataclass(frozen=True, slots=True)
class Ports:
    """A UDP service of one IP version that has its own ports at both ends."""

    name: str
    version: int
    ports: tuple[int, ...]


NEIGHBOURS = (
    Messages("IPv6 neighbour or router discovery", (133, 134, 135, 136, 137), 255),  # RFC 4861
    Messages("IPv6 multicast listener discovery", (130, 131, 132, 143), 1),  # RFC 2710, RFC 3810: switches want them
)
DHCP = (
    Ports("DHCP", 4, (67, 68)),  # RFC 2131
    Ports("DHCPv6", 6, (546, 547)),  # RFC 8415
)
OWN_PROTOCOLS = (50, 51)  # ESP and AH

_LOOPBACK = "loopback, which never leaves this machine"
_OWN_UDP = "IKE, or ESP in UDP, of ipsecd itself"
_OWN_IP = "ESP or AH of ipsecd itself"
_EVERYBODY = IPv4Address("255.255.255.255")


def own_ports(plan: Plan) -> tuple[int, ...]:
    """The UDP ports that IKE and ESP come to."""
    return plan.ike_port, plan.natt_port


def exemption(plan: Plan, flow: Flow, ours: frozenset[Address], *, outbound: bool) -> str:
    """What this packet is that the floor lets pass, whatever the rules say; empty if it's nothing of that kind.

    ``ours`` are this machine's addresses. A port that the flow doesn't show may be the one that makes it exempt.
    """
    source, destination = flow.addresses()
    ends = _ours(source, ours), _ours(destination, ours)
    if all(ends):
        return _LOOPBACK
    here = ends[0] if outbound else ends[1]
    if here and flow.protocol == IpProtocol.UDP and _own_port(plan, flow, outbound):
        return _OWN_UDP
    if here and flow.protocol in OWN_PROTOCOLS:
        return _OWN_IP
    if flow.protocol == ICMPV6:
        return next((each.name for each in NEIGHBOURS if flow.source_port >> 8 in each.types), "")
    near = source if outbound else destination
    if flow.protocol == IpProtocol.UDP and (here or near.is_unspecified or near.is_multicast or near == _EVERYBODY):
        return next((each.name for each in DHCP if each.version == flow.version and _both(flow, each.ports)), "")
    return ""


def _ours(address: Address, ours: frozenset[Address]) -> bool:
    return address in ours or address.is_loopback


def _own_port(plan: Plan, flow: Flow, outbound: bool) -> bool:
    port = flow.source_port if outbound and flow.source_port != UNSEEN else flow.destination_port
    return port in own_ports(plan)


def _both(flow: Flow, ports: tuple[int, ...]) -> bool:
    return flow.destination_port in ports and flow.source_port in (UNSEEN, *ports)
