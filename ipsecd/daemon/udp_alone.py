"""What the negotiation is told on a machine that has no raw sockets: packets travel in UDP, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from ipsecd.ike.config import Encapsulation, Hosts, IkeConfig, Peer

_Ends = TypeVar("_Ends", Peer, Hosts)


def udp_alone(config: IkeConfig) -> IkeConfig:
    """The same, without the choice that ``auto`` leaves. Peers that say ``native`` stay as they are: they can't be put
    in force then."""
    return replace(
        config,
        peers=tuple(map(_in_udp, config.peers)),
        hosts=tuple(map(_in_udp, config.hosts)),
        native=False,
    )


def _in_udp(ends: _Ends) -> _Ends:
    return replace(ends, encapsulation=Encapsulation.UDP) if ends.encapsulation is Encapsulation.AUTO else ends
