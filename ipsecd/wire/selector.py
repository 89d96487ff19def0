"""Traffic selectors (RFC 7296 section 3.13.1, RFC 4301 section 4.4.1.1) and the set operations on them.

A selector is a box: one protocol (or any), one address range, one port range. Boxes intersect to boxes, which is
all that narrowing (RFC 7296 section 2.9) and the inbound check (RFC 4301 section 5.2) need.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network, summarize_address_range

from ipsecd.wire.registry import IpProtocol

Address = IPv4Address | IPv6Address

ANY_PORT = (0, 65_535)
OPAQUE = (65_535, 0)  # RFC 7296 section 3.13.1: matches only packets whose ports can't be seen


@dataclass(frozen=True, slots=True)
class Selector:
    """One address range, one protocol (0 is any), one port range.

    ``start`` and ``end`` are of one family and inclusive. For ICMP the port range holds type*256+code
    (RFC 7296 section 3.13.1). Raises ValueError if the ranges are reversed or the families differ.
    """

    start: Address
    end: Address
    protocol: int = 0
    ports: tuple[int, int] = ANY_PORT

    def __post_init__(self) -> None:
        if self.start.version != self.end.version or int(self.start) > int(self.end):
            raise ValueError("address range is reversed or mixes families")
        if not 0 <= self.protocol <= 255 or not all(0 <= port <= 65_535 for port in self.ports):
            raise ValueError("protocol or port out of range")
        if self.ports[0] > self.ports[1] and self.ports != OPAQUE:
            raise ValueError("port range is reversed")

    @classmethod
    def net(cls, text: str, protocol: int = 0, ports: tuple[int, int] = ANY_PORT) -> Selector:
        """The selector of a subnet or address in text form; raises ValueError."""
        network = ip_network(text)
        return cls(network[0], network[-1], protocol, ports)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.start.version

    def intersect(self, other: Selector) -> Selector | None:
        """The largest selector inside both, or None."""
        if self.version != other.version:
            return None
        if self.protocol and other.protocol and self.protocol != other.protocol:
            return None
        start, end = max(int(self.start), int(other.start)), min(int(self.end), int(other.end))
        ports = _common_ports(self.ports, other.ports)
        if start > end or ports is None:
            return None
        kind = IPv4Address if self.version == 4 else IPv6Address
        return Selector(kind(start), kind(end), self.protocol or other.protocol, ports)

    def contains(self, other: Selector) -> bool:
        """Whether each packet that ``other`` selects is selected by this one too."""
        return self.intersect(other) == other

    def __str__(self) -> str:
        networks = list(summarize_address_range(self.start, self.end))
        text = str(networks[0]) if len(networks) == 1 else f"{self.start}-{self.end}"
        text = text.removesuffix("/32" if self.version == 4 else "/128")
        protocol = IpProtocol(self.protocol).name.lower() if self.protocol else ""
        first, last = self.ports
        ports = "" if self.ports == ANY_PORT else "opaque" if self.ports == OPAQUE else str(first)
        if ports and first < last:
            ports = f"{first}-{last}"
        if not (protocol or ports):
            return text
        return f"{text}[{protocol or 'any'}{'/' + ports if ports else ''}]"


def _common_ports(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int] | None:
    if one == two:
        return one
    if ANY_PORT in (one, two):
        return two if one == ANY_PORT else one
    if OPAQUE in (one, two):
        return None
    low, high = max(one[0], two[0]), min(one[1], two[1])
    return (low, high) if low <= high else None


def narrow(offered: tuple[Selector, ...], allowed: tuple[Selector, ...]) -> tuple[Selector, ...]:
    """The offered selectors cut down to what is allowed (RFC 7296 section 2.9), without repeats, in offered order.

    Each result lies inside one offered and one allowed selector; empty if they have nothing in common.
    """
    found: list[Selector] = []
    for offer in offered:
        for allow in allowed:
            both = offer.intersect(allow)
            if both is not None and not any(kept.contains(both) for kept in found):
                found = [kept for kept in found if not both.contains(kept)]
                found.append(both)
    return tuple(found)
