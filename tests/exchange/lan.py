"""Hosts on one network, each with a rule that has a child for each pair of hosts.

::

    host a 192.0.2.1 ---+--- host b 192.0.2.2
                        |
    host c 192.0.2.3 ---+
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ipsecd.ike.config import Child, Hosts, IkeConfig
from ipsecd.wire.hostpair import pair_id
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_GCM, FOREVER, IKE_X25519, KEY
from tests.exchange.network import Link, Network, Node

A, B, C, NOBODY = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.77"
IP_A, IP_B, IP_C = map(ip_address, (A, B, C))


def child_at(*addresses: str, remote: str = "192.0.2.0/24", **changes: object) -> Child:
    """All traffic of these addresses of ours with the network."""
    local = tuple(map(Selector.net, addresses))
    base = Child("7", "lan/1", "lan", local, (Selector.net(remote),), (ESP_GCM,), lifetime=FOREVER)
    return replace(base, **changes)  # type: ignore[arg-type]  # names of its fields


def pattern(*children: Child, **changes: object) -> Hosts:
    """The rule of the host that has these children."""
    base = Hosts(
        name="lan",
        local_id=None,
        remote_id=None,
        shared_keys=(KEY,),
        proposals=(IKE_X25519,),
        children=children,
        lifetime=FOREVER,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # names of its fields


def rule_at(*addresses: str, **changes: object) -> Hosts:
    """That of a host with these addresses."""
    return pattern(child_at(*addresses), **changes)


def known_by(local: str, remote: str, child: str = "7") -> str:
    """The identifier of the child between two hosts, as the first of them has it."""
    return pair_id(child, ip_address(local), ip_address(remote))


class Lan:
    """Hosts a, b and c. ``others`` are the rules of some of them, by name, in the place of the one all have."""

    def __init__(self, link: Link | None = None, **others: Hosts | IkeConfig) -> None:
        self.net = Network("lan", link)
        self.a, self.b, self.c = (
            self._add(name, address, others.get(name)) for name, address in zip("abc", (A, B, C), strict=True)
        )

    def _add(self, name: str, address: str, own: Hosts | IkeConfig | None) -> Node:
        own = own or rule_at(address)
        return self.net.add(name, address, IkeConfig(hosts=(own,)) if isinstance(own, Hosts) else own)

    def packet(self, node: Node, remote: str, protocol: int = 17, child: str = "7", *, known: bool = False) -> None:
        """A packet of this host waits for its child with another; ``known``: who has answered before."""
        ends = tuple(Selector.net(address, protocol, (4_000, 4_000)) for address in (node.address, remote))
        key = known_by(node.address, remote, child)
        self.net.carry_out(node, node.ike.acquire(key, (ends[0], ends[1]), self.net.now, known=known))

    def up(self, one: Node, other: Node) -> bool:
        """A packet of the first to the second leads to SAs between them."""
        self.packet(one, other.address)
        return self.net.run(30, until=lambda: self.have(one, other))

    def have(self, one: Node, other: Node) -> bool:
        """One child SA stands between the two, and both ends have the same."""
        ours = [sa for sa in one.inbound.values() if sa.child == known_by(one.address, other.address)]
        theirs = [sa for sa in other.inbound.values() if sa.child == known_by(other.address, one.address)]
        return len(ours) == len(theirs) == 1 and {ours[0].spi, theirs[0].spi} <= one.outbound_spis | other.outbound_spis

    def reload(self, node: Node, *hosts: Hosts, **more: object) -> None:
        config = IkeConfig(hosts=hosts, **more)  # type: ignore[arg-type]  # names of its fields
        self.net.carry_out(node, node.ike.reconfigure(config, self.net.now))
