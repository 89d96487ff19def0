"""What the negotiation is told on a machine that has no raw sockets: packets travel in UDP, or not at all."""

from __future__ import annotations

from dataclasses import replace

from ipsecd.ike.config import Encapsulation, Hosts, IkeConfig, Peer


def udp_alone(config: IkeConfig) -> IkeConfig:
    """The same, without the choice that ``auto`` leaves. Peers that say ``native`` stay as they are: they can't be put
    in force then."""
    return replace(
        config,
        peers=tuple(_peer(peer) for peer in config.peers),
        hosts=tuple(_hosts(hosts) for hosts in config.hosts),
        native=False,
    )


def _peer(peer: Peer) -> Peer:
    return replace(peer, encapsulation=Encapsulation.UDP) if peer.encapsulation is Encapsulation.AUTO else peer


def _hosts(hosts: Hosts) -> Hosts:
    return replace(hosts, encapsulation=Encapsulation.UDP) if hosts.encapsulation is Encapsulation.AUTO else hosts
