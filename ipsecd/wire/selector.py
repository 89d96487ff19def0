"""Traffic selectors (RFC 7296 section 3.13.1, RFC 4301 section 4.4.1.1) and the set operations on them.

A selector is a box: one protocol (or any), one address range, one port range. Boxes intersect to boxes, which is
all that narrowing (RFC 7296 section 2.9) and the inbound check (RFC 4301 section 5.2) need.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from ipsecd import limits
from ipsecd.wire.registry import IpProtocol

Address = IPv4Address | IPv6Address

ANY_PORT = (0, 65_535)
OPAQUE = (65_535, 0)  # RFC 7296 section 3.13.1: matches only packets whose ports can't be seen

_Box = tuple[int, int, int, int, tuple[int, int]]  # family, protocol, first and last address, ports: quick to compare


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

    def __hash__(self) -> int:
        return hash((int(self.start), int(self.end), self.protocol, self.ports))  # that of an address is slow

    @classmethod
    def net(cls, text: str, protocol: int = 0, ports: tuple[int, int] = ANY_PORT) -> Selector:
        """The selector of a subnet or address in text form; raises ValueError."""
        network = ip_network(text)
        return cls(network[0], network[-1], protocol, ports)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.start.version

    @property
    def any_address(self) -> bool:
        """Whether every address of its family lies inside."""
        return int(self.start) == 0 and int(self.end) == (1 << self.start.max_prefixlen) - 1

    def intersect(self, other: Selector) -> Selector | None:
        """The largest selector inside both, or None."""
        both = _common(_box(self), _box(other))
        return None if both is None else _selector(both)

    def contains(self, other: Selector) -> bool:
        """Whether each packet that ``other`` selects is selected by this one too."""
        return _inside(_box(other), _box(self))

    def __str__(self) -> str:
        text, size = f"{self.start}-{self.end}", int(self.end) - int(self.start) + 1
        if size == 1:
            text = str(self.start)
        elif size & (size - 1) == 0 and int(self.start) % size == 0:
            text = f"{self.start}/{self.start.max_prefixlen - size.bit_length() + 1}"
        protocol = IpProtocol(self.protocol).name.lower() if self.protocol else ""
        first, last = self.ports
        ports = "" if self.ports == ANY_PORT else "opaque" if self.ports == OPAQUE else str(first)
        if ports and first < last:
            ports = f"{first}-{last}"
        if not (protocol or ports):
            return text
        return f"{text}[{protocol or 'any'}{'/' + ports if ports else ''}]"


def _box(selector: Selector) -> _Box:
    start, end = selector.start, selector.end
    return start.version, selector.protocol, int(start), int(end), selector.ports


def _selector(box: _Box) -> Selector:
    version, protocol, start, end, ports = box
    kind = IPv4Address if version == 4 else IPv6Address
    return Selector(kind(start), kind(end), protocol, ports)


def _common(one: _Box, two: _Box) -> _Box | None:
    """The largest box inside both, or None."""
    version, protocol, start, end, ports = one
    other_version, other_protocol, other_start, other_end, other_ports = two
    if version != other_version or start > other_end or other_start > end:
        return None
    if protocol != other_protocol and protocol and other_protocol:
        return None
    shared = ports if ports == other_ports else _common_ports(ports, other_ports)
    if shared is None:
        return None
    return version, protocol or other_protocol, max(start, other_start), min(end, other_end), shared


def _common_ports(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int] | None:
    if ANY_PORT in (one, two):
        return two if one == ANY_PORT else one
    if OPAQUE in (one, two):
        return None
    low, high = max(one[0], two[0]), min(one[1], two[1])
    return (low, high) if low <= high else None


def _inside(one: _Box, two: _Box) -> bool:
    return _common(one, two) == one


def _outermost(boxes: list[_Box]) -> list[_Box]:
    distinct = list(dict.fromkeys(boxes))
    return [box for box in distinct if not any(_inside(box, other) for other in distinct if other is not box)]


def outermost(selectors: tuple[Selector, ...]) -> tuple[Selector, ...]:
    """Those that lie inside no other, each once, in the same order: they select the same packets."""
    return tuple(_selector(box) for box in _outermost([_box(selector) for selector in selectors]))


def common(offered: tuple[Selector, ...], allowed: tuple[Selector, ...]) -> tuple[Selector, ...]:
    """What each offered selector shares with each allowed one, in offered order, each once. The search ends with
    ``limits.MAX_SELECTORS`` results: one payload holds no more, and what was offered first counts most."""
    allows = [_box(allow) for allow in allowed]
    found: dict[_Box, None] = {}
    for offer in map(_box, offered):
        for allow in allows:
            both = _common(offer, allow)
            if both is not None:
                found[both] = None
                if len(found) == limits.MAX_SELECTORS:
                    return tuple(map(_selector, found))
    return tuple(map(_selector, found))


def narrow(offered: tuple[Selector, ...], allowed: tuple[Selector, ...]) -> tuple[Selector, ...]:
    """The offered selectors cut down to what is allowed (RFC 7296 section 2.9), without repeats, in offered order.

    Each result lies inside one offered and one allowed selector; empty if they have nothing in common.
    """
    return outermost(common(offered, allowed))
