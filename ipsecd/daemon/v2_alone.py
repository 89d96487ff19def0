"""What the negotiation is told while it isn't known who speaks IKEv2: nobody who may do so is called by IKEv1."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from ipsecd.ike.config import Hosts, IkeConfig, Peer, Version

_Ends = TypeVar("_Ends", Peer, Hosts)


def v2_alone(config: IkeConfig) -> IkeConfig:
    """The same without the choice. Peers that the policy has speak IKEv1 alone stay as they are."""
    return replace(config, peers=tuple(map(_by_v2, config.peers)), hosts=tuple(map(_by_v2, config.hosts)))


def _by_v2(ends: _Ends) -> _Ends:
    return replace(ends, versions=(Version.IKEV2,), special=None) if Version.IKEV2 in ends.versions else ends
