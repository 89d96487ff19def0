"""What the floor never stops: what a network can't work without, and what ipsecd itself says and hears.

One list, from which ``exempt_rules.py`` makes rules of nftables and ``exemption`` an answer about one packet. RFC 4301
section 4.4.1 wants such traffic to be named in the SPD; here every policy has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.policy.plan import Plan
from ipsecd.policy.traffic import ICMPV6
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Messages:
    """ICMPv6 messages that are valid with one hop limit only, so none of them was or will be forwarded. ``on_link``:
    they come from link-local addresses, or from none."""

    name: str
    types: tuple[int, ...]
    hop_limit: int
    on_link: bool


@dataclass(frozen=True, slots=True)
class Ports:
    """A UDP service of one IP version that has its own ports at both ends, on one link."""

    name: str
    version: int
    ports: tuple[int, ...]


NEIGHBOURS = (
    Messages("IPv6 neighbour or router discovery", (133, 134, 135, 136, 137), 255, on_link=False),  # RFC 4861
    Messages("IPv6 multicast listener discovery", (130, 131, 132, 143), 1, on_link=True),  # RFC 2710, RFC 3810
)
DHCP = (
    Ports("DHCP", 4, (67, 68)),  # RFC 2131
    Ports("DHCPv6", 6, (546, 547)),  # RFC 8415
)
OWN_PROTOCOLS = (50, 51)  # ESP and AH

_LOOPBACK = "loopback, which never leaves this machine"
_OWN_UDP = "IKE, or ESP in UDP, of ipsecd itself"
_OWN_IP = "ESP or AH of ipsecd itself"
_INSIDE = ", by an interface of the inside"
_EVERYBODY = IPv4Address("255.255.255.255")
_SERVERS = IPv6Address("ff02::1:2")  # RFC 8415 section 7.1


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
        near = source.is_link_local or source.is_unspecified
        found = (each.name for each in NEIGHBOURS if flow.source_port >> 8 in each.types and (near or not each.on_link))
        return next(found, "")
    return _dhcp(flow, here=here) if flow.protocol == IpProtocol.UDP else ""


def _dhcp(flow: Flow, *, here: bool) -> str:
    """On the link alone; ``here`` says that the packet is from this machine, or to it."""
    source, destination = flow.addresses()
    service = next((each.name for each in DHCP if each.version == flow.version and _both(flow, each.ports)), "")
    if destination == _EVERYBODY or (
        source.is_link_local and (destination == _SERVERS or (destination.version == 6 and destination.is_link_local))
    ):
        return service
    return service + _INSIDE if service and flow.version == 4 and here else ""


def _ours(address: Address, ours: frozenset[Address]) -> bool:
    return address in ours or address.is_loopback


def _own_port(plan: Plan, flow: Flow, outbound: bool) -> bool:
    port = flow.source_port if outbound and flow.source_port != UNSEEN else flow.destination_port
    return port in own_ports(plan)


def _both(flow: Flow, ports: tuple[int, ...]) -> bool:
    return flow.destination_port in ports and flow.source_port in (UNSEEN, *ports)
