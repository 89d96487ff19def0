"""What the floor never stops: what ipsecd itself says and hears, and what the policy exempts (``Plan.exempt``).

One list, from which ``exempt_rules.py`` makes rules of nftables and ``exemption`` an answer about one packet. RFC 4301
section 4.4.1 wants such traffic to be named in the SPD; here every policy has it.

Windows' NoDefaultExempt says what is exempt by multicast, broadcast, RSVP and Kerberos (Microsoft KB 811832), and for
Kerberos that is port 88 at either end. Here all that is held to this machine: what is passed on for others obeys the
rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.policy.plan import Plan
from ipsecd.policy.traffic import ICMPV6, PROTOCOLS
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
KERBEROS = (IpProtocol.TCP, IpProtocol.UDP)
KERBEROS_PORT = 88  # RFC 4120 section 7.2
RSVP = PROTOCOLS["rsvp"]  # RFC 2205
GROUPS = {4: "224.0.0.0/4", 6: "ff00::/8"}  # RFC 5771, RFC 4291 section 2.7

_LOOPBACK = "loopback, which never leaves this machine"
_OWN_UDP = "IKE, or ESP in UDP, of ipsecd itself"
_OWN_IP = "ESP or AH of ipsecd itself"
_INSIDE = ", by an interface of the inside"
_EVERYBODY = IPv4Address("255.255.255.255")
_SERVERS = IPv6Address("ff02::1:2")  # RFC 8415 section 7.1


def own_ports(plan: Plan) -> tuple[int, ...]:
    """The UDP ports that IKE and ESP come to."""
    return plan.ike_port, plan.natt_port


def exemption(
    plan: Plan,
    flow: Flow,
    ours: frozenset[Address],
    *,
    outbound: bool,
    broadcasts: frozenset[Address] = frozenset(),
    anycasts: frozenset[Address] = frozenset(),
) -> str:
    """What this packet is that the floor lets pass, whatever the rules say; empty if it's nothing of that kind.

    ``ours`` are this machine's addresses, ``broadcasts`` those of its networks by which all hosts there are reached,
    ``anycasts`` those that it hears among other routers. A port that the flow doesn't show may be the one that makes it
    exempt.
    """
    source, destination = flow.addresses()
    ends = _ours(source, ours), _ours(destination, ours)
    if ends[0] and (ends[1] or destination in anycasts):
        return _LOOPBACK
    here = ends[0] or source.is_unspecified if outbound else ends[1]
    if here and flow.protocol == IpProtocol.UDP and _own_port(plan, flow, outbound):
        return _OWN_UDP
    if here and flow.protocol in OWN_PROTOCOLS:
        return _OWN_IP
    exempt, group, to_all = plan.exempt, destination.is_multicast, _to_all(destination, broadcasts)
    not_passed_on = here or not outbound
    found = (
        _neighbours(flow) if exempt.neighbour_discovery else "",
        _dhcp(flow, here=here, to_all=to_all) if exempt.dhcp else "",
        "Kerberos" if exempt.kerberos and here and _kerberos(flow) else "",
        "RSVP" if exempt.rsvp and flow.protocol == RSVP and (here or (group and not_passed_on)) else "",
        "multicast" if exempt.multicast and group and not_passed_on else "",
        "broadcast" if exempt.broadcast and to_all and not_passed_on else "",
    )
    return next(filter(None, found), "")


def to_several(flow: Flow, broadcasts: frozenset[Address]) -> bool:
    """Whether the packet goes to a group of hosts, or to all hosts of a network: the floor steers none of those."""
    _, destination = flow.addresses()
    return destination.is_multicast or _to_all(destination, broadcasts)


def _to_all(destination: Address, broadcasts: frozenset[Address]) -> bool:
    return destination == _EVERYBODY or destination in broadcasts


def _neighbours(flow: Flow) -> str:
    if flow.protocol != ICMPV6:
        return ""
    source, _ = flow.addresses()
    near = source.is_link_local or source.is_unspecified
    found = (each.name for each in NEIGHBOURS if flow.source_port >> 8 in each.types and (near or not each.on_link))
    return next(found, "")


def _dhcp(flow: Flow, *, here: bool, to_all: bool) -> str:
    """On the link alone; ``here`` says that the packet is from this machine, or to it."""
    if flow.protocol != IpProtocol.UDP:
        return ""
    source, destination = flow.addresses()
    service = next((each.name for each in DHCP if each.version == flow.version and _both(flow, each.ports)), "")
    if to_all or (
        source.is_link_local and (destination == _SERVERS or (destination.version == 6 and destination.is_link_local))
    ):
        return service
    return service + _INSIDE if service and flow.version == 4 and here else ""


def _kerberos(flow: Flow) -> bool:
    return flow.protocol in KERBEROS and KERBEROS_PORT in (flow.source_port, flow.destination_port)


def _ours(address: Address, ours: frozenset[Address]) -> bool:
    return address in ours or address.is_loopback


def _own_port(plan: Plan, flow: Flow, outbound: bool) -> bool:
    port = flow.source_port if outbound and flow.source_port != UNSEEN else flow.destination_port
    return port in own_ports(plan)


def _both(flow: Flow, ports: tuple[int, ...]) -> bool:
    return flow.destination_port in ports and flow.source_port in (UNSEEN, *ports)
