"""Between whom traffic goes: the hosts behind the gateways, or the gateways themselves."""

from __future__ import annotations

from dataclasses import dataclass

from tests.netns.places import GA_LAN, GB_LAN, HA, HB


@dataclass(frozen=True, slots=True)
class Ends:
    """Two namespaces of the sites, and the addresses by which each knows the other; ``near`` is on the side that
    calls."""

    near: str
    near_address: str
    far: str
    far_address: str


TOPOLOGIES = {
    "hosts": Ends("ha", HA[4], "hb", HB[4]),
    "gateways": Ends("ga", GA_LAN[4], "gb", GB_LAN[4]),
}
